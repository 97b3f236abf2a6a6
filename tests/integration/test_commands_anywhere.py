"""Every command that looks at the database works on either, beside a server and without one."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.opening import AnyStore, opened
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.cli import COMMANDS, app
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.orders.policy import Policy
from orderkeep.practice.rings import ring

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ELSEWHERE = {
    "run": "test_workers and every acceptance test",
    "grants": "test_postgres_grants; PostgreSQL only",
    "doctor": "test_doctor_broker; looks at a broker",
    "topology": "test_topology_command; looks at a broker",
    "simulate": "test_practice_mes; has no database",
    "bench": "test_bench; makes databases of its own",
}

Call = Callable[..., Result]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database with a letter that is dead and an order."""
    if request.param == "PostgreSQL":
        made = str(request.getfixturevalue("postgres_url"))
    else:
        made = f"sqlite:///{tmp_path / 'orderkeep.db'}"
        migrate(made)
    asyncio.run(_fill(made))
    return made


async def _fill(url: str) -> None:
    async with opened(url, Bells()) as store:
        await store.write(add_partner)
        await store.accepting(Policy()).accept(Submissions().next())
        dead = Envelope(EnvelopeId("e"), "price.wanted", 1, "OK-000013", NOON, "0" * 32, b"{}")

        def die(work: Any) -> None:
            work.inbox.receive("quoting", [dead], NOON)
            [row] = work.inbox.due("quoting", NOON, 1)
            work.inbox.park(row.row, NOON, "Refused: for this test")

        await store.write(die)


@pytest.fixture(params=["beside a server", "without one"])
def call(
    request: pytest.FixtureRequest, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Call]:
    """Runs a command; it has to end as it should."""
    for name in [name for name in os.environ if name.startswith("ORDERKEEP_")]:
        monkeypatch.delenv(name)  # The runner's own would be told of as meaning nothing.
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    terminal = CliRunner()

    def told(*words: str, ends: int = 0) -> Result:
        result = terminal.invoke(app, words)
        assert result.exit_code == ends, f"{words}: {result.output} {result.exception!r}"
        return result

    if request.param == "without one":
        yield told
        return
    with asyncio.Runner() as runner:
        # Entered by hand: a command has an event loop of its own.
        serving = opened(url, Bells(), serve=True)
        store: AnyStore = runner.run(serving.__aenter__())
        yield told
        assert runner.run(store.read(lambda work: work.board.version())) >= 1
        runner.run(serving.__aexit__(None, None, None))


def test_every_command_does_its_work(call: Call, tmp_path: Path) -> None:
    (tmp_path / "ring.stl").write_bytes(ring("band", 1, triangles=200))
    (tmp_path / "lost.csv").write_text("number,customer\nA-1,Anna\n", encoding="utf-8")

    assert call("migrate").output == "0001\n"
    [order] = call("export", "--json").output.splitlines()
    no = json.loads(order)["order_no"]
    # Its model file was never kept, which is found.
    assert f"{no}    model file" in call("verify", ends=1).output
    assert json.loads(call("explain", no, "--json").output)["order_no"] == no
    _dead_letters(call)
    _keys_and_people(call)
    call("import", "lost", "lost.csv")
    assert json.loads(call("quote", "ring.stl", "--material", "ag925", "--json").output)
    for words in (["mappings", "check"], ["sources", "list"]):
        assert "names no sources" in call(*words).output


def _dead_letters(call: Call) -> None:
    [group] = json.loads(call("dead-letters", "list", "--json").output)
    assert "for this test" in call("dead-letters", "show", group["fingerprint"]).output
    assert ": 1" in call("dead-letters", "replay", group["fingerprint"], "--dry-run").output
    call("people", "add", "--login", "vera", "--role", "support", "--name", "Vera")
    why = ("--by", "vera", "--reason", "mended")
    begun = call("dead-letters", "replay", group["fingerprint"], *why)
    assert "is running" in begun.output


def _keys_and_people(call: Call) -> None:
    key = call("keys", "create", "--partner", "Q").output.splitlines()[-1]
    [line] = [one for one in call("keys", "list").output.splitlines() if key[:10] in one]
    call("keys", "revoke", line.split("\t")[1])
    call("people", "add", "--login", "zed", "--role", "seller", "--name", "Zed")
    assert "zed" in call("people", "list").output
    call("people", "password", "zed")
    call("people", "disable", "zed")


def test_no_command_is_forgotten_here() -> None:
    tried = {
        "migrate", "export", "verify", "explain", "dead-letters", "keys", "people", "import",
        "quote", "mappings", "sources",
    }  # fmt: skip

    assert tried | set(ELSEWHERE) == set(COMMANDS)


@pytest.mark.parametrize("words", [("verify",), ("keys", "list"), ("migrate",)])
def test_a_wrong_user_is_told_as_one_by_every_command(
    words: tuple[str, ...], postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = urlsplit(postgres_url)
    stranger = asked._replace(netloc=f"stranger:hushhush@{asked.hostname}:{asked.port}").geturl()
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", stranger)
    monkeypatch.chdir(tmp_path)

    ended = CliRunner().invoke(app, words)

    told = f"{ended.output}{ended.exception}"  # Some leave the telling to who called them.
    assert ended.exit_code
    assert "refuses the user or its password." in told
    assert "hushhush" not in told
