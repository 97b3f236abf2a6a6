"""Accepting on PostgreSQL: all submissions that wait are kept in one transaction."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import asyncpg

from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.hot_sqlite.accept import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    LOOKS,
    Desk,
    Known,
    Names,
    Prepared,
)
from orderkeep.adapters.sql.hot_sqlite.counters import ORDERS, of_stage
from orderkeep.adapters.sql.hot_sqlite.outbox import TOPIC
from orderkeep.adapters.sql.lanes import Gates, Hot
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.intake.ports import Acceptance
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders import announce
from orderkeep.orders.events import SCHEMA_VERSION
from orderkeep.orders.order import Stage

NOT_YET = 10**17
"""Above it are the numbers of a batch until the counter has given out real ones."""

GATES = Gates(BEFORE_COMMIT, AFTER_COMMIT)

# Each finds at most one, and says so: a plan made while the tables were empty would else read all
# orders, or all of the partner's, for as long as it is kept. "From here on, the first" leaves no
# index to choose but the one of clients' numbers.
_KNOWN = """
SELECT true, k.* FROM unnest($1::text[], $2::text[]) AS asked (partner_id, name)
CROSS JOIN LATERAL (
    SELECT k.partner_id, k.key, k.order_n, k.body_sha256, o.client_ref, o.created_at
    FROM idempotency k JOIN orders o ON o.n = k.order_n
    WHERE k.partner_id = asked.partner_id AND k.key = asked.name LIMIT 1
) k
UNION ALL
SELECT false, o.* FROM unnest($1::text[], $3::text[]) AS asked (partner_id, name)
CROSS JOIN LATERAL (
    SELECT o.partner_id, o.client_ref AS name, o.n, o.body_sha256, o.client_ref, o.created_at
    FROM orders o WHERE (o.partner_id, o.client_ref) >= (asked.partner_id, asked.name)
    ORDER BY o.partner_id, o.client_ref LIMIT 1
) o WHERE o.partner_id = asked.partner_id AND o.name = asked.name
"""


# One statement, and the whole transaction: the counter of order numbers is held from here to the
# commit, and nobody who thinks, stands still or dies meanwhile holds it. What the rows refer to
# each other for is checked at its end. Numbers above NOT_YET are moved down to those that were
# taken; sorted names and counters in this order, as everywhere: nobody waits in a circle.
def kept(before: str = "", only: str = "") -> str:
    """The statement up to its end; where ``only`` does not hold, nothing is kept."""
    return f"""
WITH {before} taken AS (
    INSERT INTO counters (name, value) SELECT '{ORDERS}', $1::bigint {only}
    ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
    RETURNING value - $1 AS last, value - $1 - {NOT_YET} AS down
), fresh AS (
    INSERT INTO orders (n, partner_id, channel, client_ref, body_sha256, stage_since, created_at,
        changed_at, priority, due_at, timer_at, promise_at, summary, pieces, version, stage,
        due_owner, risk, price_state, is_open, is_claimable)
    SELECT one.n + down, partner_id, channel, client_ref, sha256, at, at, at, priority, due_at,
        timer_at, promise_at, summary, pieces, 1, 'SUBMITTED', 'engine', 'ok', 'queued', true, false
    FROM taken, unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::timestamptz[], $8::smallint[], $9::timestamptz[], $10::timestamptz[],
        $11::timestamptz[], $12::text[], $13::int[])
        AS one (n, partner_id, channel, client_ref, sha256, at, priority, due_at, timer_at,
            promise_at, summary, pieces)
), begun AS (
    INSERT INTO events (order_n, partner_id, at, actor_kind, actor_id, actor_role, command, source,
        trace_id, data, seq, kind, schema_version, stage)
    SELECT one.n + down, partner_id, at, actor_kind, actor_id, actor_role, command, source,
        trace_id, data, 1, 'order.submitted', {SCHEMA_VERSION}, 'SUBMITTED'
    FROM taken, unnest($2::bigint[], $3::text[], $7::timestamptz[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::text[], $20::text[])
        AS one (n, partner_id, at, actor_kind, actor_id, actor_role, command, source, trace_id,
            data)
), kept AS (
    INSERT INTO submissions (order_n, body)
    SELECT one.n + down, body FROM taken, unnest($2::bigint[], $21::bytea[]) AS one (n, body)
), posted AS (
    INSERT INTO outbox (id, order_key, at, trace_id, body, kind, schema_version)
    SELECT id, no, at, trace_id, convert_to('{{"order_no":"' || no || '","version":1}}', 'UTF8'),
        '{announce.PRICE_WANTED}', {announce.SCHEMA_VERSION}
    FROM (
        SELECT id, order_no(one.n + down) AS no, at, trace_id
        FROM taken, unnest($2::bigint[], $22::text[], $7::timestamptz[], $19::text[])
            AS one (n, id, at, trace_id)
    ) one
), named AS (
    INSERT INTO idempotency (partner_id, key, body_sha256, order_n, at)
    SELECT partner_id, key, sha256, CASE WHEN n > {NOT_YET} THEN n + down ELSE n END, at
    FROM taken, unnest($23::text[], $24::text[], $25::text[], $26::bigint[], $27::timestamptz[])
        AS one (partner_id, key, sha256, n, at)
), counted AS (
    INSERT INTO counters (name, value) SELECT '{of_stage(Stage.SUBMITTED)}', $1 FROM taken
    ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
)
"""


_KEEP = f"{kept()} SELECT last FROM taken"
_KEYS = (
    "INSERT INTO idempotency (partner_id, key, body_sha256, order_n, at)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])"
)


class Unnumbered(Desk):
    """Decides what is new before it has numbers to give."""

    def name(self, n: int) -> OrderNo:
        return OrderNo("")


class LookingBatch(Hot[Prepared, Acceptance]):
    """Keeps a batch of submissions: each once, under gapless numbers.

    Keys and clients' numbers are looked up first, under no lock. Who finds nothing may be wrong by
    then: another has just accepted the same. A unique index says so, nothing is kept, and the batch
    is run again and finds it.
    """

    gates: Gates | None = GATES
    keeps_itself = True
    unnumbered: Callable[..., Any] = Unnumbered
    numbered: Callable[..., Any] = Desk

    def run_all(self, work: PgWork, items: Sequence[Prepared]) -> Sequence[Any]:
        """One outcome per item, in order; an exception undoes them all."""
        return self.run_knowing(work, items, self.known(work.pg, items))

    def run_knowing(
        self, work: PgWork, items: Sequence[Prepared], found: Sequence[dict[Any, Any]]
    ) -> Sequence[Any]:
        """The same, where it is known what is known of them."""
        desk = self.unnumbered(NOT_YET + 1, *[one.copy() for one in found])
        outcomes = [desk.take(item) for item in items]
        if not desk.fresh:
            if desk.key_rows:
                self.keep_names(work, desk)
            return outcomes
        last = self.keep(work, desk)
        desk = self.numbered(last + 1, *found)
        outcomes = [desk.take(item) for item in items]  # Again, with the numbers that it got.
        work.wake(TOPIC)
        if work.watched:
            work.board_rows += desk.shown()
        return outcomes

    def known(self, pg: Raw, items: Sequence[Prepared]) -> Sequence[dict[Any, Any]]:
        """What is known of the items, as their desk wants it."""
        return known(pg, items)

    def keep(self, work: PgWork, desk: Any) -> int:
        """Keep fresh orders; returns the number before the first of them."""
        [(last,)] = work.keep(GATES, _KEEP, *columns(desk))
        return int(last)

    def keep_names(self, work: PgWork, desk: Any) -> None:
        """Keep what there is when no order is fresh: second keys of known ones."""
        work.keep(GATES, _KEYS, *turned(desk.key_rows))


class AcceptBatch(LookingBatch):
    """The same, taking everything for new until a unique index says no; then it is looked up."""

    def __init__(self) -> None:
        self._looks = 0

    def run_all(self, work: PgWork, items: Sequence[Prepared]) -> Sequence[Any]:
        if self._looks:
            self._looks -= 1
            return super().run_all(work, items)
        try:
            return self.run_knowing(work, items, ({}, {}))
        except asyncpg.UniqueViolationError:
            self._looks = LOOKS  # Who repeats does not do so alone.
            return super().run_all(work, items)


def known(pg: Raw, items: Sequence[Prepared]) -> tuple[Names, Names]:
    """What the items' keys and clients' numbers mean already."""
    submissions = [item.submission for item in items]
    asked = [(one.partner_id, one.key, one.client_ref) for one in submissions]
    keys: Names = {}
    refs: Names = {}
    for by_key, partner_id, name, *order in pg.fetch(_KNOWN, *turned(asked)):
        (keys if by_key else refs)[partner_id, name] = Known(*order)
    return keys, refs


def columns(desk: Desk) -> Iterator[Any]:
    """What ``kept`` is given: how many orders, then column by column."""
    yield len(desk.fresh)
    yield [n for n, _, _ in desk.fresh]
    items = [item for _, _, item in desk.fresh]
    at = 4  # Stands three times in a row of orders, and is given once.
    orders = turned([item.order for item in items])
    yield from orders[: at + 1]
    yield from orders[at + 3 :]
    yield from turned([item.event[2:] for item in items])
    yield [item.submission.body for item in items]
    yield [item.submission.envelope_id for item in items]
    yield from turned(desk.key_rows)


def turned(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Columns of rows: PostgreSQL takes a list a column."""
    return [list(column) for column in zip(*rows, strict=True)]
