"""The benchmarks run from end to end; how quick anything is, no test asserts."""

import json
import os
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from orderkeep.bench import postgres
from orderkeep.bench.accept import COMPARED_AT, WAYS, Load, WayIn, accept, orm_peer, our_store
from orderkeep.bench.board import FILTERS, OPERATORS, board
from orderkeep.bench.places import Place
from orderkeep.bench.server import ServerDied

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
TINY = ("--seconds", "0.05", "--rounds", "1", "--clients", "1")


def test_every_way_in_is_measured_beside_the_disk(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}

    done = subprocess.run(
        [*COMMAND, "bench", "accept", *TINY, "--folder", str(tmp_path), "--json"],
        env=ours,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(line["path"], line["clients"]) for line in report["lines"]] == [
        (way, 1) for way in WAYS
    ]
    assert all(line["sample"]["requests"] > 0 for line in report["lines"])
    assert report["disk"]["per_s"] > 0
    assert report["ratios"] == []  # Promised at 64 clients only.
    assert report["left_out"] == {}
    assert list(tmp_path.iterdir()) == []


def test_postgresql_is_measured_in_turns_with_pgbench() -> None:
    report = accept(
        seconds=0.05,
        rounds=1,
        clients=[COMPARED_AT],
        ways={"store": our_store, "orm": orm_peer},
        database="postgresql",
    )

    assert [line.path for line in report.lines] == ["store", "orm"]
    assert [limit.how.split(",")[0] for limit in report.limits] == [
        f"pgbench -N -c64 -j{min(64, os.cpu_count() or 1)} -M{protocol}"
        for protocol in ("simple", "prepared")
    ]
    assert all(limit.sample.requests > 0 for limit in report.limits)
    assert [ratio.name for ratio in report.ratios] == [
        "store / pgbench at 64",
        "store / pgbench, prepared at 64",
        "store / orm at 64",
    ]


def test_a_way_in_that_does_not_open_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    def shut(place: Place) -> AbstractAsyncContextManager[Load]:
        raise ServerDied(f"nobody at {place.url.partition(':')[0]}")

    ways: dict[str, WayIn] = {"shut": shut, "store": our_store}
    report = accept(seconds=0.05, rounds=1, clients=[1], folder=tmp_path, ways=ways)

    assert [line.path for line in report.lines] == ["store"]
    assert report.left_out == {"shut": "nobody at sqlite"}


def test_without_postgresql_the_benchmark_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(FileNotFoundError, match="apt-get install postgresql"):
        accept(rounds=1, database="postgresql")


def test_every_list_of_the_board_is_measured_and_nobody_claims_twice(tmp_path: Path) -> None:
    report = board(rows=[200], folder=tmp_path)

    [size] = report.sizes
    measured = {timed.what for timed in size.reads}
    assert size.rows == 200
    assert {f"first page: {name}" for name in FILTERS} < measured
    assert {"counts", "one order and its history", "a page far down"} < measured
    assert [race.operators for race in size.races] == list(OPERATORS)
    assert report.no_double_claims
    assert {one.ratio for one in report.flat} == {1.0}  # Beside itself nothing has grown.
    assert list(tmp_path.iterdir()) == []
