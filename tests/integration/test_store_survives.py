"""The store and the worst: kill -9 at full speed, a full disk, a disk that fails in the commit."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from orderkeep.adapters.sql import writer
from orderkeep.adapters.sql.connections import Link, StoreMisconfigured
from orderkeep.adapters.sql.lock import AlreadyRunning
from orderkeep.adapters.sql.migrate import SchemaBehind, migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy
from orderkeep.kernel.ids import order_no
from orderkeep.orders.policy import Policy

ACCEPTS_FOR_EVER = """
import asyncio, sys
from orderkeep.adapters.sql.store import open_store
from orderkeep.bench.accept import Submissions
from orderkeep.kernel.bells import Bells
from orderkeep.orders.policy import Policy

async def main():
    fresh = Submissions()
    async with open_store(sys.argv[1], Bells(), serve=True) as store:
        lane = store.accepting(Policy())
        async def client():
            while True:
                accepted = await lane.accept(fresh.next())
                print(accepted.order_no, flush=True)
        await asyncio.gather(*[client() for _ in range(64)])

asyncio.run(main())
"""
HOLDS_THE_LOCK = """
import sys
from orderkeep.adapters.sql.store import open_store
from orderkeep.kernel.bells import Bells
store = open_store(sys.argv[1], Bells(), serve=True)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    migrate(address)
    return address


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[SqliteStore]:
    async with open_store(url, Bells(), **settings) as store:
        yield store


def one(work: SqlWork) -> int:
    return 1


def run(program: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(child: "subprocess.Popen[str]") -> str:
    """Kill the child at once and return what it had still said."""
    os.kill(child.pid, signal.SIGKILL)
    said, _ = child.communicate()
    return said


async def test_every_acknowledged_order_survives_kill_9_at_full_speed(url: str) -> None:
    async with opened(url) as store:
        await store.write(add_partner)
    child = run(ACCEPTS_FOR_EVER, url)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline().strip() for _ in range(3000)]

    said = ended(child)

    acknowledged += [line for line in said.split("\n")[:-1] if line]
    async with opened(url, serve=True) as store:
        kept = await store.read(everything)
    assert set(acknowledged) <= {order_no(n) for n in kept["orders"]}
    assert kept["orders"] == list(range(1, len(kept["orders"]) + 1))
    for table in ("events", "submissions", "idempotency", "outbox"):
        assert len(kept[table]) == len(kept["orders"])
    assert kept["integrity"] == ["ok"]


def everything(work: SqlWork) -> dict[str, list[Any]]:
    queries = {
        "orders": "SELECT n FROM orders ORDER BY n",
        "events": "SELECT DISTINCT order_n FROM events WHERE seq = 1",
        "submissions": "SELECT order_n FROM submissions",
        "idempotency": "SELECT order_n FROM idempotency",
        "outbox": "SELECT order_key FROM outbox",
        "integrity": "PRAGMA integrity_check",
    }
    return {
        name: [row[0] for row in work.raw.execute(query).fetchall()]
        for name, query in queries.items()
    }


async def test_a_second_server_is_refused_and_told_who_is_there(url: str) -> None:
    child = run(HOLDS_THE_LOCK, url)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        with pytest.raises(AlreadyRunning, match=str(child.pid)):
            open_store(url, Bells(), serve=True)
        async with opened(url) as beside:  # a command works beside it
            await beside.write(add_partner)
    finally:
        ended(child)

    async with opened(url, serve=True) as after:
        assert after.health()["journal_mode"] == "wal"


async def test_one_process_serves_a_database_once(url: str) -> None:
    async with opened(url, serve=True):
        with pytest.raises(AlreadyRunning):
            open_store(url, Bells(), serve=True)

    async with opened(url, serve=True) as again:
        assert again.health()["synchronous"] == 2


async def test_a_full_disk_refuses_and_heals(url: str) -> None:
    async with opened(url) as store:
        await store.write(add_partner)
        lane, fresh = store.accepting(Policy()), Submissions()
        raw = store._writer.link.raw
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages + 4}")

        outcomes = await asyncio.gather(
            *[lane.accept(fresh.next()) for _ in range(200)], return_exceptions=True
        )
        raw.execute("PRAGMA max_page_count=1000000")
        await lane.accept(fresh.next())

        refused = [outcome for outcome in outcomes if isinstance(outcome, StoreBusy)]
        kept = await store.read(everything)
        assert refused
        assert all(refusal.retry_after for refusal in refused)
        assert len(refused) == sum(isinstance(outcome, BaseException) for outcome in outcomes)
        assert kept["orders"] == list(range(1, 200 - len(refused) + 2))


async def test_a_unit_that_meets_a_full_disk_is_told_to_come_again(url: str) -> None:
    def fills_the_disk(work: SqlWork) -> None:
        for i in range(1000):
            work.raw.execute(
                "INSERT INTO audit (at, actor, action, subject) VALUES (?, ?, 'a', 's')",
                (i, "x" * 4000),
            )

    async with opened(url) as store:
        raw = store._writer.link.raw
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages + 4}")

        with pytest.raises(StoreBusy):
            await store.write(fills_the_disk)


class FailingCommit:
    """A connection whose disk fails once, in the commit: nothing else of ours can reach there."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._raw.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


async def test_a_disk_that_fails_in_the_commit_leaves_the_outcome_open(url: str) -> None:
    async with opened(url) as store:
        await store.write(add_partner)
        lane, submission = store.accepting(Policy()), Submissions().next()
        link = store._writer.link
        link.raw = cast(sqlite3.Connection, FailingCommit(link.raw))

        with pytest.raises(CommitOutcomeUnknown):
            await lane.accept(submission)

        again = await lane.accept(submission)  # the writer has opened the file anew
        assert again.order_no == order_no(1)


async def test_a_disk_that_is_gone_for_a_while_is_opened_again(url: str) -> None:
    async with opened(url) as store:
        await store.write(add_partner)
        lane, submission = store.accepting(Policy()), Submissions().next()
        link, reopen = store._writer.link, store._writer._reopen
        link.raw = cast(sqlite3.Connection, FailingCommit(link.raw))
        store._writer._reopen = a_disk_that_is_away

        with pytest.raises(CommitOutcomeUnknown):
            await lane.accept(submission)
        with pytest.raises(StoreBusy):
            await lane.accept(submission)
        store._writer._reopen = reopen
        with pytest.raises(StoreBusy):
            await lane.accept(submission)

        assert (await lane.accept(submission)).order_no == order_no(1)


def a_disk_that_is_away() -> Link:
    raise sqlite3.OperationalError("unable to open database file")


async def test_a_full_queue_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_BOUND", 3)
    async with opened(url) as store:
        waiting = [asyncio.ensure_future(store.write(lambda work: work.raw.total_changes))]
        waiting += [
            asyncio.ensure_future(store.write(lambda work: work.raw.total_changes))
            for _ in range(50)
        ]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

        assert any(isinstance(outcome, StoreBusy) for outcome in outcomes)
        assert await store.write(one) == 1


async def test_work_whose_caller_has_gone_is_done_all_the_same(url: str) -> None:
    async with opened(url) as store:
        task = asyncio.ensure_future(store.write(add_partner))
        await asyncio.sleep(0)
        task.cancel()

        found = await store.write(
            lambda work: work.raw.execute("SELECT count(*) FROM partners").fetchone()[0]
        )

        assert found == 1


async def test_closing_finishes_what_waits(url: str) -> None:
    store = open_store(url, Bells())
    waiting = [asyncio.ensure_future(store.write(one)) for _ in range(500)]
    await asyncio.sleep(0)

    await store.close()

    assert await asyncio.gather(*waiting) == [1] * 500
    with pytest.raises(StoreBusy):
        await store.write(one)


def test_an_address_of_another_database_is_answered_with_a_sentence() -> None:
    with pytest.raises(StoreMisconfigured, match="scale-out"):
        open_store("postgresql://localhost/orders", Bells())


def test_a_database_that_was_not_migrated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaBehind, match="orderkeep migrate"):
        open_store(f"sqlite:///{tmp_path / 'empty.db'}", Bells())
