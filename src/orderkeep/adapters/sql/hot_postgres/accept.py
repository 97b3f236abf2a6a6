"""Accepting on PostgreSQL: all submissions that wait are kept in one transaction."""

from collections.abc import Sequence
from typing import Any

from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.hot_sqlite.accept import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    Desk,
    Known,
    Names,
    Prepared,
    announcement,
)
from orderkeep.adapters.sql.hot_sqlite.counters import of_stage
from orderkeep.adapters.sql.hot_sqlite.outbox import TOPIC
from orderkeep.adapters.sql.lanes import Gates
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.orders import announce
from orderkeep.orders.events import SCHEMA_VERSION
from orderkeep.orders.order import Stage

_ASKED = "unnest($1::text[], $2::text[]) AS asked (partner_id, name)"
_BY_KEY = (
    "SELECT k.partner_id, k.key, k.order_n, k.body_sha256, o.client_ref, o.created_at"
    f" FROM {_ASKED} JOIN idempotency k ON k.partner_id = asked.partner_id AND k.key = asked.name"
    " JOIN orders o ON o.n = k.order_n"
)
_BY_REF = (
    "SELECT o.partner_id, o.client_ref, o.n, o.body_sha256, o.client_ref, o.created_at"
    f" FROM {_ASKED} JOIN orders o ON o.partner_id = asked.partner_id"
    " AND o.client_ref = asked.name"
)
# One statement, one round trip; what the rows refer to each other for is checked at its end.
_KEEP = f"""
WITH fresh AS (
    INSERT INTO orders (n, partner_id, channel, client_ref, body_sha256, stage_since, created_at,
        changed_at, priority, due_at, timer_at, promise_at, summary, pieces, version, stage,
        due_owner, risk, price_state, is_open, is_claimable)
    SELECT *, 1, 'SUBMITTED', 'engine', 'ok', 'queued', true, false
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
        $7::timestamptz[], $8::timestamptz[], $9::smallint[], $10::timestamptz[],
        $11::timestamptz[], $12::timestamptz[], $13::text[], $14::int[])
), begun AS (
    INSERT INTO events (order_n, partner_id, at, actor_kind, actor_id, actor_role, command, source,
        trace_id, data, seq, kind, schema_version, stage)
    SELECT *, 1, 'order.submitted', {SCHEMA_VERSION}, 'SUBMITTED'
    FROM unnest($1::bigint[], $15::text[], $16::timestamptz[], $17::text[], $18::text[],
        $19::text[], $20::text[], $21::text[], $22::text[], $23::text[])
), kept AS (
    INSERT INTO submissions (order_n, body) SELECT * FROM unnest($1::bigint[], $24::bytea[])
)
INSERT INTO outbox (id, order_key, at, trace_id, body, kind, schema_version)
SELECT *, '{announce.PRICE_WANTED}', {announce.SCHEMA_VERSION}
FROM unnest($25::text[], $26::text[], $27::timestamptz[], $28::text[], $29::bytea[])
"""
_KEYS = (
    "INSERT INTO idempotency (partner_id, key, body_sha256, order_n, at)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])"
)


class AcceptBatch:
    """Keeps a batch of submissions: each once, under gapless numbers.

    The counter of order numbers is locked first, until the commit. So no other process is half way
    through accepting when this one looks up keys and clients' numbers: what it does not find is not
    there. The unique indexes stand behind that promise.
    """

    gates: Gates | None = Gates(BEFORE_COMMIT, AFTER_COMMIT)

    def run_all(self, work: PgWork, items: Sequence[Prepared]) -> Sequence[Any]:
        """One outcome per item, in order; an exception undoes them all."""
        following = work.counters.following()
        desk = Desk(following, *_known(work.pg, items))
        outcomes = [desk.take(item) for item in items]
        _write(work.pg, desk)
        if desk.fresh:
            work.counters.take(len(desk.fresh))
            work.counters.add(of_stage(Stage.SUBMITTED), len(desk.fresh))
            work.wake(TOPIC)
        if work.watched:
            work.board_rows += desk.shown()
        return outcomes


def _known(pg: Raw, items: Sequence[Prepared]) -> tuple[Names, Names]:
    partners = [item.submission.partner_id for item in items]
    keys = pg.fetch(_BY_KEY, partners, [item.submission.key for item in items])
    refs = pg.fetch(_BY_REF, partners, [item.submission.client_ref for item in items])
    return _named(keys), _named(refs)


def _named(found: Sequence[Any]) -> Names:
    return {(row[0], row[1]): Known(*tuple(row)[2:]) for row in found}


def _write(pg: Raw, desk: Desk) -> None:
    fresh = desk.fresh
    if fresh:
        orders = _turned([(n, *item.order) for n, _, item in fresh])
        events = _turned([item.event for _, _, item in fresh])
        bodies = [item.submission.body for _, _, item in fresh]
        posted = _turned([announcement(no, item) for _, no, item in fresh])
        pg.fetch(_KEEP, *orders, *events, bodies, *posted)
    if desk.key_rows:
        pg.fetch(_KEYS, *_turned(desk.key_rows))


def _turned(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Columns of rows: PostgreSQL takes a list a column."""
    return [list(column) for column in zip(*rows, strict=True)]
