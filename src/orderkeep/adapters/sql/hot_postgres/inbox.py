"""The inbox on PostgreSQL: several processes may try an envelope, and one effect is kept."""

from collections.abc import Sequence
from datetime import datetime

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import inbox as sqlite
from orderkeep.adapters.sql.hot_sqlite.outbox import columns_of
from orderkeep.adapters.sql.instants import FARTHEST, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received
from orderkeep.kernel.errors import Conflict
from orderkeep.kernel.ids import EnvelopeId

# Due at once, whatever the clock says next: next_at grows only when a try has failed.
# One statement for all that came together; their rows are in the order in which they came.
_RECEIVE = """
INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at, trace_id, body,
    received_at, next_at)
SELECT $1, id, kind, version, key, at, trace_id, body, $2, 'epoch'
FROM unnest($3::text[], $4::text[], $5::smallint[], $6::text[], $7::timestamptz[], $8::text[],
    $9::bytea[]) WITH ORDINALITY AS came (id, kind, version, key, at, trace_id, body, place)
ORDER BY place
ON CONFLICT (consumer, message_id) DO NOTHING RETURNING message_id
"""
# Which of them are due is found out from a page of the oldest: the outbox says why.
_COLUMNS = """
row, consumer, attempts, message_id, kind, schema_version, order_key, at, trace_id, body
"""
_GET = f"SELECT {_COLUMNS} FROM inbox WHERE row = ANY($1::bigint[]) ORDER BY row"
# A row for each that is due, and one at least, which says how many there were to look at.
_DUE = f"""
WITH page AS MATERIALIZED (
    SELECT row, order_key, next_at FROM inbox
    WHERE consumer = $1 AND handled_at IS NULL AND dead_at IS NULL
    ORDER BY row LIMIT {sqlite.WINDOW}
), first AS MATERIALIZED (
    SELECT DISTINCT ON (order_key) row, next_at FROM page ORDER BY order_key, row
)
SELECT many, due.* FROM (SELECT count(*) AS many FROM page) looked LEFT JOIN (
    SELECT {_COLUMNS} FROM inbox WHERE row = ANY(ARRAY(
        SELECT row FROM first WHERE next_at <= $2 OR next_at > $3 ORDER BY row LIMIT $4
    ))
) due ON true ORDER BY due.row
"""
# Each finds at most one: in a plan made while the inbox is empty, "any of these" is a look at all
# that the consumer ever received.
_HOLDS = """
SELECT found.message_id FROM unnest($2::text[]) AS asked (id) CROSS JOIN LATERAL (
    SELECT consumer, message_id FROM inbox WHERE (consumer, message_id) >= ($1, asked.id)
    ORDER BY consumer, message_id LIMIT 1
) found WHERE found.consumer = $1 AND found.message_id = asked.id
"""
_OPEN = "AND handled_at IS NULL AND dead_at IS NULL"
_HANDLED = f"UPDATE inbox SET handled_at = $1 WHERE row = $2 {_OPEN} RETURNING row"
_TRIED = "UPDATE inbox SET attempts = attempts + 1, why = $2"
_RETRY = f"{_TRIED}, next_at = $1 WHERE row = $3 {_OPEN}"
_PARK = f"{_TRIED}, dead_at = $1, fingerprint = $4 WHERE row = $3 {_OPEN}"


class SqlInbox(sqlite.SqlInbox):
    """Implements ``delivery.ports.InboxStore``."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._pg = work.pg

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        at, too_far = to_micros(now), to_micros(now + FARTHEST)
        found = self._pg.fetch(_DUE, consumer, at, too_far, limit)
        if found[0]["many"] == sqlite.WINDOW and len(found) < limit:
            rows = self._ready(consumer, at, limit)  # Enough of them may be behind the others.
            return [sqlite.received(*row) for row in self._pg.fetch(_GET, rows)] if rows else []
        return [sqlite.received(*row[1:]) for row in map(tuple, found) if row[1] is not None]

    def holds(self, consumer: str, ids: Sequence[EnvelopeId]) -> set[EnvelopeId]:
        return {EnvelopeId(record[0]) for record in self._pg.fetch(_HOLDS, consumer, list(ids))}

    def handled(self, row: int, now: datetime) -> None:
        # The row is the fence: who comes second waits for the first one's commit, finds it done,
        # and takes its own effect back. A lease would only add a time-out to be wrong about.
        if not self._pg.fetch(_HANDLED, to_micros(now), row):
            raise Conflict("The envelope has been handled meanwhile")

    def retry(self, row: int, due: datetime, why: str) -> None:
        self._pg.fetch(_RETRY, to_micros(due), why, row)

    def park(self, row: int, now: datetime, why: str) -> None:
        self._pg.fetch(_PARK, to_micros(now), why, row, self._group_of(row, why))

    def receive(self, consumer: str, envelopes: Sequence[Envelope], now: datetime) -> int:
        if not envelopes:
            return 0
        at = to_micros(now)
        columns = zip(*(columns_of(one) for one in envelopes), strict=True)
        found = self._pg.fetch(_RECEIVE, consumer, at, *map(list, columns))
        new = {record[0] for record in found}
        for envelope in envelopes:
            if envelope.id in new:
                new.remove(envelope.id)  # Should it have come twice, the second one is known.
            else:
                self._compare(consumer, envelope, at)
        return len(found)
