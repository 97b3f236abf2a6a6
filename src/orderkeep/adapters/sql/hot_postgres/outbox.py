"""The outbox on PostgreSQL: several relays share it, and none lets a later envelope overtake."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import outbox as sqlite
from orderkeep.adapters.sql.instants import FARTHEST, to_micros
from orderkeep.delivery.ports import Leased, Tried

# Only the first unsent envelope of an order may travel: SKIP LOCKED alone would let the second
# overtake while another relay takes the first. Row order is commit order within one order, because
# whoever posts for it holds the order's row. And what is sent stays so, unless it was lost on the
# way: what a relay with an older snapshot still takes for unsent only makes it wait.
_LEASE = """
WITH due AS MATERIALIZED (
    SELECT o.row FROM outbox o
    WHERE o.sent_at IS NULL
      AND (o.leased_until IS NULL OR o.leased_until <= $1 OR o.leased_until > $2)
      AND NOT EXISTS (SELECT 1 FROM outbox earlier
          WHERE earlier.order_key = o.order_key AND earlier.sent_at IS NULL AND earlier.row < o.row)
    ORDER BY o.row LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox SET leased_until = $3, lease_token = lease_token + 1
FROM due WHERE outbox.row = due.row
RETURNING outbox.row, lease_token, id, kind, schema_version, order_key, at, trace_id, body
"""
_MINE = "FROM unnest($2::bigint[], $3::int[]) AS mine (row, token)"
_STILL = "outbox.row = mine.row AND lease_token = mine.token AND sent_at IS NULL"
_SENT = f"UPDATE outbox SET sent_at = $1 {_MINE} WHERE {_STILL} RETURNING outbox.row"
_PUT_BACK = f"UPDATE outbox SET leased_until = $1 {_MINE} WHERE {_STILL}"
_NOTE = """
UPDATE outbox SET published_at = noted.began, answered_at = noted.ended, answer = noted.answer,
    tries = tries + 1
FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::text[])
    AS noted (row, token, began, ended, answer)
WHERE outbox.row = noted.row AND lease_token = noted.token
"""


class SqlOutbox(sqlite.SqlOutbox):
    """Implements ``delivery.ports.OutboxStore``."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._pg = work.pg

    def lease(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[Leased]:
        at = to_micros(now)
        too_far = to_micros(now + FARTHEST)
        found = self._pg.fetch(_LEASE, at, too_far, to_micros(lease_ends), limit)
        return sorted((sqlite.leased(tuple(row)) for row in found), key=attrgetter("row"))

    def sent(self, rows: Sequence[Leased], now: datetime) -> int:
        return len(self._pg.fetch(_SENT, to_micros(now), *_named(rows)))

    def put_back(self, rows: Sequence[Leased], due: datetime) -> None:
        self._pg.fetch(_PUT_BACK, to_micros(due), *_named(rows))

    def note(self, tries: Sequence[tuple[Leased, Tried]]) -> None:
        if tries:
            began, ended, answers = zip(*(sqlite.note_of(one) for _, one in tries), strict=True)
            rows, tokens = _named([at for at, _ in tries])
            self._pg.fetch(_NOTE, rows, tokens, list(began), list(ended), list(answers))

    def release_all(self) -> int:
        # Another process may hold them just now; leases run out by themselves.
        return 0


def _named(rows: Sequence[Leased]) -> tuple[list[int], list[int]]:
    return [row.row for row in rows], [row.token for row in rows]
