"""The inbox on PostgreSQL: several processes may try an envelope, and one effect is kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import inbox as sqlite
from orderkeep.adapters.sql.hot_sqlite.outbox import envelope_of
from orderkeep.adapters.sql.instants import FARTHEST, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received
from orderkeep.kernel.errors import Conflict
from orderkeep.kernel.ids import EnvelopeId

# Due at once, whatever the clock says next: next_at grows only when a try has failed.
_RECEIVE = (
    "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at, trace_id, body,"
    " received_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'epoch')"
    " ON CONFLICT (consumer, message_id) DO NOTHING RETURNING row"
)
_DUE = """
SELECT i.row, i.consumer, i.attempts, i.message_id, i.kind, i.schema_version, i.order_key, i.at,
       i.trace_id, i.body
FROM inbox i
WHERE i.consumer = $1 AND i.handled_at IS NULL AND i.dead_at IS NULL
  AND (i.next_at <= $2 OR i.next_at > $3)
  AND NOT EXISTS (SELECT 1 FROM inbox earlier
      WHERE earlier.consumer = i.consumer AND earlier.order_key = i.order_key
        AND earlier.handled_at IS NULL AND earlier.dead_at IS NULL AND earlier.row < i.row)
ORDER BY i.row LIMIT $4
"""
_HOLDS = "SELECT message_id FROM inbox WHERE consumer = $1 AND message_id = ANY($2::text[])"
_OPEN = "AND handled_at IS NULL AND dead_at IS NULL"
_HANDLED = f"UPDATE inbox SET handled_at = $1 WHERE row = $2 {_OPEN} RETURNING row"
_TRIED = "UPDATE inbox SET attempts = attempts + 1, why = $2"
_RETRY = f"{_TRIED}, next_at = $1 WHERE row = $3 {_OPEN}"
_PARK = f"{_TRIED}, dead_at = $1 WHERE row = $3 {_OPEN}"


class SqlInbox(sqlite.SqlInbox):
    """Implements ``delivery.ports.InboxStore``."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._pg = work.pg

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        too_far = to_micros(now + FARTHEST)
        found = self._pg.fetch(_DUE, consumer, to_micros(now), too_far, limit)
        return [_received(*row) for row in found]

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
        self._pg.fetch(_PARK, to_micros(now), why, row)

    def _is_new(self, consumer: str, envelope: Envelope, now: int) -> bool:
        return bool(self._pg.fetch(_RECEIVE, *sqlite.row_of(consumer, envelope, now)))


def _received(row: int, consumer: str, attempts: int, *envelope: Any) -> Received:
    return Received(row, consumer, attempts, envelope_of(*envelope))
