"""``orderkeep quote``: the answer, the exit status, and wrong usage."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orderkeep.cli.quote import quote
from orderkeep.practice.rings import DEFECTS, ring


@pytest.fixture(scope="module")
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(quote)
    return app


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "ring.stl"
    path.write_bytes(ring("signet", 3, triangles=2000))
    return path


def run(command: typer.Typer, *words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(command, [str(word) for word in words])
    return result.exit_code, result.stdout


def as_json(command: typer.Typer, *words: str | Path) -> tuple[int, dict[str, Any]]:
    status, out = run(command, *words, "--json")
    return status, json.loads(out)


def test_a_sound_ring_gets_a_price(command: typer.Typer, model: Path) -> None:
    status, answer = as_json(command, model, "--material", "ag925", "--quantity", "3")

    assert status == 0
    assert answer["verdict"] == "accept"
    assert set(answer) == {
        "verdict", "codes", "messages", "geometry", "price", "timings_s", "peak_rss_mib",
    }  # fmt: skip
    assert answer["geometry"]["closed"] is answer["geometry"]["oriented"] is True
    cents = [round(float(line["amount"]) * 100) for line in answer["price"]["lines"]]
    assert sum(cents) == round(float(answer["price"]["total"]) * 100)


def test_people_get_a_table(command: typer.Typer, model: Path) -> None:
    status, out = run(command, model, "--material", "au585_yellow")

    assert status == 0
    assert "total" in out
    assert "example-2026.1" in out


@pytest.mark.parametrize(
    "defect, status, verdict",
    [("open", 2, "review"), ("metres", 2, "review"), ("truncated", 3, "reject")],
)
def test_without_a_price_the_json_comes_all_the_same(
    command: typer.Typer, model: Path, defect: str, status: int, verdict: str
) -> None:
    model.write_bytes(DEFECTS[defect](model.read_bytes()))

    found, answer = as_json(command, model, "--material", "ag925")

    assert (found, answer["verdict"], answer["price"]) == (status, verdict, None)
    assert len(answer["codes"]) == len(answer["messages"]) == 1


def test_the_unit_of_the_file_can_be_told(command: typer.Typer, model: Path) -> None:
    _, millimetres = as_json(command, model, "--material", "ag925")
    model.write_bytes(DEFECTS["metres"](model.read_bytes()))

    status, metres = as_json(command, model, "--material", "ag925", "--unit", "m")

    assert status == 0
    assert metres["geometry"]["volume_mm3"] == pytest.approx(
        millimetres["geometry"]["volume_mm3"], rel=1e-5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ["ring.stl"],
        ["ring.stl", "--material", "mud"],
        ["ring.stl", "--material", "ag925", "--unit", "furlong"],
        ["ring.stl", "--material", "ag925", "--quantity", "0"],
        ["ring.stl", "--material", "ag925", "--quantity", "many"],
        ["ring.stl", "--material", "ag925", "--price-book", "ring.stl"],
        ["no-such-file.stl", "--material", "ag925"],
        ["--material", "ag925"],
    ],
)
def test_wrong_usage_is_64(
    command: typer.Typer, model: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str]
) -> None:
    monkeypatch.chdir(model.parent)

    status, out = run(command, *wrong)

    assert (status, out) == (64, "")
