"""Taking the next few costs the same however many wait: rows are counted, not milliseconds.

On PostgreSQL every statement is planned while its table is empty, keeps that plan, and no
statistics are ever taken: nobody can promise that they are, in the minute after an outage.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.orders.policy import Policy
from orderkeep.testing.stores import ON_DISK, ON_POSTGRESQL, Store, opened

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=30)
FEW, MANY = 2_000, 100_000
BATCH = 200
TABLES = ("outbox", "inbox", "deliveries", "price_jobs")
MARGIN, A_FEW = 1.2, 5
"""What a batch may cost more because its rows lie elsewhere."""

_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
_BACKLOGS = {
    "outbox": (
        "INSERT INTO outbox (id, kind, schema_version, order_key, at, trace_id, body)"
        " {numbers} SELECT 'e' || i, 'price.wanted', 1, 'OK-' || i, {at}, '', {body} FROM n"
    ),
    "inbox": (
        "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at, trace_id,"
        " body, received_at, next_at) {numbers} SELECT 'bridge', 'e' || i, 'work_order.wanted', 1,"
        " 'OK-' || i, {at}, '', {body}, {at}, {at} FROM n"
    ),
    "deliveries": (
        "INSERT INTO deliveries (destination, reference, order_n, state, since, next_at) {numbers}"
        " SELECT 'mes', 'OK-' || i, 1, 'pending', {at}, {at} FROM n"
    ),
    "price_jobs": (
        "INSERT INTO price_jobs (order_n, version, state, at) {numbers}"
        " SELECT 1, i, CASE WHEN i = {last} THEN 'queued' ELSE 'done' END, {at} FROM n"
    ),
}

Ask = Callable[[SqlWork], Any]


def _leased(work: SqlWork) -> int:
    rows = work.outbox.lease(NOON, LATER, BATCH)
    return work.outbox.sent(rows, NOON)


def _received(work: SqlWork) -> int:
    return len(work.inbox.due("bridge", LATER, BATCH))


def _to_send(work: SqlWork) -> int:
    return len(work.deliveries.due("mes", LATER, BATCH))


def _question(work: SqlWork) -> int:
    return work.price_jobs.waits(NOON) + len(work.price_jobs.take(NOON, LATER, 1))


def _known(work: SqlWork) -> int:
    return len(work.inbox.holds("bridge", [EnvelopeId(f"e{n}") for n in range(1, BATCH + 1)]))


ASKED: dict[str, tuple[str, Ask, int]] = {
    "what to carry": ("outbox", _leased, BATCH),
    "what has arrived": ("inbox", _received, BATCH),
    "which are known": ("inbox", _known, BATCH),
    "what to send": ("deliveries", _to_send, BATCH),
    "what to price": ("price_jobs", _question, 2),
}


@pytest.fixture(params=[ON_DISK, ON_POSTGRESQL])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner
) -> Iterator[Store]:
    address = partial(request.getfixturevalue, "postgres_url")
    with opened(request.param, tmp_path, address, runner, Bells()) as one:
        yield one


@pytest.mark.parametrize("asked", ASKED)
async def test_taking_the_next_few_costs_the_same_however_many_wait(
    runner: asyncio.Runner, store: Store, asked: str
) -> None:
    table, ask, found = ASKED[asked]
    await _as_it_came(store)
    await store.write(ask)  # Planned now, with nothing there.

    await _fill(store, table, 1, FEW)
    of_few = await _cost(store, table, ask, found)
    await _fill(store, table, FEW + 1, MANY)
    of_many = await _cost(store, table, ask, found)

    assert of_many <= MARGIN * of_few + A_FEW


async def _cost(store: Store, table: str, ask: Ask, found: int) -> int:
    """Rows that PostgreSQL reads, or steps that SQLite takes, until the answer is there."""
    counted = _rows_read if isinstance(store, PgStore) else _steps_taken

    def unit(work: SqlWork) -> int:
        with counted(work, table) as cost:
            assert ask(work) == found
        return cost()

    return await store.write(unit)


@contextmanager
def _rows_read(work: SqlWork, table: str) -> Iterator[Callable[[], int]]:
    def read() -> int:
        asked = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
        return int(work.raw.execute(f"{asked} WHERE relname = ?", (table,)).fetchone()[0])

    before = read()
    yield lambda: read() - before


@contextmanager
def _steps_taken(work: SqlWork, _: str) -> Iterator[Callable[[], int]]:
    taken = count()
    work.raw.set_progress_handler(lambda: next(taken) < 0, 1)
    yield lambda: next(taken)
    work.raw.set_progress_handler(None, 1)


async def _as_it_came(store: Store) -> None:
    """One order that everything belongs to, and nobody who takes statistics meanwhile."""
    await store.write(add_partner)
    await store.accepting(Policy()).accept(Submissions().next())
    if isinstance(store, PgStore):
        for table in TABLES:
            await store.write(partial(_without_statistics, table))


def _without_statistics(table: str, work: SqlWork) -> None:
    work.raw.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")


async def _fill(store: Store, table: str, first: int, last: int) -> None:
    is_shared = isinstance(store, PgStore)
    sql = _BACKLOGS[table].format(
        numbers=_NUMBERS.format(first=first, last=last),
        last=last,
        at="timestamptz '2026-03-02 11:00+00'" if is_shared else "1772449200000000",
        body="'{}'::bytea" if is_shared else "x'7b7d'",
    )
    await store.write(lambda work: work.raw.execute(sql))
