"""The outbox on PostgreSQL: several relays share it, and none lets a later envelope overtake."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import outbox as sqlite
from orderkeep.adapters.sql.instants import FARTHEST, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Leased, Tried

# One statement for all; their rows are in the order in which they were given.
_POST = """
INSERT INTO outbox (id, kind, schema_version, order_key, at, trace_id, body)
SELECT id, kind, version, key, at, trace_id, body
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::timestamptz[], $6::text[],
    $7::bytea[]) WITH ORDINALITY AS came (id, kind, version, key, at, trace_id, body, place)
ORDER BY place
"""
# Which envelope is an order's first is found out from a page of the oldest, through the index of
# the unsent: as a condition on the table it is a join, whose plan follows the statistics, and those
# of a table that was empty a minute ago have relays look through a whole backlog for every lease.
# Row order is commit order within one order, because whoever posts for it holds the order's row.
# And what is sent stays so, unless it was lost on the way: what was the first when it was read
# still is, or has been sent.
_FREE = "(leased_until IS NULL OR leased_until <= $1 OR leased_until > $2)"
_TAKE = f"""
UPDATE outbox SET leased_until = $3, lease_token = lease_token + 1
WHERE row = ANY(ARRAY(
    SELECT row FROM outbox
    WHERE row = ANY({{rows}}) AND sent_at IS NULL AND {_FREE}
    FOR UPDATE SKIP LOCKED
))
RETURNING row, lease_token, id, kind, schema_version, order_key, at, trace_id, body
"""
_LEASE = _TAKE.format(rows="$4::bigint[]")
PAGE = 1024
"""The oldest unsent rows, among which there is nearly always enough that is free."""
# A row for each that was taken, and one at least, which says how many there were to look at.
_LEASE_OLDEST = f"""
WITH page AS MATERIALIZED (
    SELECT row, order_key, leased_until FROM outbox WHERE sent_at IS NULL ORDER BY row LIMIT {PAGE}
), first AS MATERIALIZED (
    SELECT DISTINCT ON (order_key) row, leased_until FROM page ORDER BY order_key, row
), taken AS (
    {_TAKE.format(rows=f"ARRAY(SELECT row FROM first WHERE {_FREE} ORDER BY row LIMIT $4)")}
)
SELECT many, taken.* FROM (SELECT count(*) AS many FROM page) looked LEFT JOIN taken ON true
"""
_MINE = "FROM unnest($2::bigint[], $3::int[]) AS mine (row, token)"
# Named twice: however the rows are joined, no others are read.
_STILL = (
    "outbox.row = ANY($2) AND outbox.row = mine.row AND lease_token = mine.token"
    " AND sent_at IS NULL"
)
_SENT = f"UPDATE outbox SET sent_at = $1 {_MINE} WHERE {_STILL} RETURNING outbox.row"
_SETTLE = """
UPDATE outbox SET sent_at = mine.sent, leased_until = COALESCE(mine.free, leased_until),
    published_at = COALESCE(mine.began, published_at),
    answered_at = COALESCE(mine.ended, answered_at), answer = COALESCE(mine.answer, outbox.answer),
    tries = tries + (mine.answer IS NOT NULL)::int
FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
    $6::timestamptz[], $7::text[]) AS mine (row, token, sent, free, began, ended, answer)
WHERE outbox.row = ANY($1) AND outbox.row = mine.row AND lease_token = mine.token
    AND sent_at IS NULL
"""


class SqlOutbox(sqlite.SqlOutbox):
    """Implements ``delivery.ports.OutboxStore``."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._work = work
        self._pg = work.pg

    def post(self, envelopes: Sequence[Envelope]) -> None:
        if envelopes:
            columns = zip(*map(sqlite.columns_of, envelopes), strict=True)
            self._pg.fetch(_POST, *map(list, columns))
            self._work.wake(sqlite.TOPIC)

    def lease(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[Leased]:
        at, too_far, ends = to_micros(now), to_micros(now + FARTHEST), to_micros(lease_ends)
        found = self._pg.fetch(_LEASE_OLDEST, at, too_far, ends, limit)
        taken = [tuple(row)[1:] for row in found if row["row"] is not None]
        if found[0]["many"] == PAGE and len(taken) < limit:
            free = self._free(at)
            while rows := list(islice(free, limit - len(taken))):
                # None of them, if another relay has been quicker: the next ones may be free.
                if more := self._pg.fetch(_LEASE, at, too_far, ends, rows):
                    taken += map(tuple, more)
                    break
        return sorted(map(sqlite.leased, taken), key=attrgetter("row"))

    def sent(self, rows: Sequence[Leased], now: datetime) -> int:
        return len(self._pg.fetch(_SENT, to_micros(now), *_named(rows)))

    def settle(self, tries: Sequence[tuple[Leased, Tried]], now: datetime) -> None:
        if tries:
            columns = zip(*(sqlite.settled(*one, now) for one in tries), strict=True)
            self._pg.fetch(_SETTLE, *map(list, columns))

    def release_all(self) -> int:
        # Another process may hold them just now; leases run out by themselves.
        return 0


def _named(rows: Sequence[Leased]) -> tuple[list[int], list[int]]:
    return [row.row for row in rows], [row.token for row in rows]
