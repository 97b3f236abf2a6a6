"""The inbox on SQLite: what a consumer has received, once."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.hot_sqlite.outbox import envelope_of
from orderkeep.adapters.sql.instants import from_micros, is_ahead, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received
from orderkeep.kernel.ids import EnvelopeId

WINDOW = 512
"""Unhandled rows looked at in one step; the search goes on until enough are due."""

OTHER_BODY = "known id, other body"

# Due at once, whatever the clock says next: next_at grows only when a try has failed.
_RECEIVE = (
    "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at, trace_id, body,"
    " received_at, next_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)"
    " ON CONFLICT (consumer, message_id) DO NOTHING"
)
_KNOWN = "SELECT body FROM inbox WHERE consumer = ? AND message_id = ?"
_QUARANTINE = "INSERT INTO quarantine (consumer, message_id, at, why, body) VALUES (?, ?, ?, ?, ?)"
# The quarantine is short, or people have other worries than how long looking through it takes.
_IS_ASIDE = (
    "SELECT 1 FROM quarantine WHERE consumer = ? AND COALESCE(message_id, '') = ? AND body = ?"
    " AND settled_at IS NULL"
)
_UNHANDLED = (
    "SELECT row, order_key, next_at FROM inbox INDEXED BY ix_inbox_due"
    " WHERE consumer = ? AND handled_at IS NULL AND dead_at IS NULL AND row > ?"
    " ORDER BY row LIMIT ?"
)
_GET = (
    "SELECT consumer, attempts, message_id, kind, schema_version, order_key, at, trace_id, body"
    " FROM inbox WHERE row = ?"
)
_HOLDS = "SELECT 1 FROM inbox WHERE consumer = ? AND message_id = ?"
_HANDLED = "UPDATE inbox SET handled_at = ? WHERE row = ?"
_RETRY = "UPDATE inbox SET attempts = attempts + 1, next_at = ?, why = ? WHERE row = ?"
_PARK = "UPDATE inbox SET attempts = attempts + 1, dead_at = ?, why = ? WHERE row = ?"
# What was tried or handled has its own fate.
_BURY = (
    "UPDATE inbox SET dead_at = ?, why = ? WHERE consumer = ? AND message_id = ?"
    " AND handled_at IS NULL AND attempts = 0"
)


class SqlInbox:
    """Implements ``delivery.ports.InboxStore``."""

    def __init__(self, work: Work) -> None:
        self._raw = work.raw

    def receive(self, consumer: str, envelopes: Sequence[Envelope], now: datetime) -> int:
        at = to_micros(now)
        return sum(self._receive(consumer, envelope, at) for envelope in envelopes)

    def set_aside(
        self, consumer: str, message_id: str | None, body: bytes, why: str, now: datetime
    ) -> None:
        # What is delivered again must not be set aside again.
        if self._raw.execute(_IS_ASIDE, (consumer, message_id or "", body)).fetchone() is None:
            row = (consumer, message_id, to_micros(now), why, body)
            self._raw.execute(_QUARANTINE, row)

    def holds(self, consumer: str, ids: Sequence[EnvelopeId]) -> set[EnvelopeId]:
        return {id_ for id_ in ids if self._raw.execute(_HOLDS, (consumer, id_)).fetchone()}

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        rows = self._ready(consumer, to_micros(now), limit)
        return [self._received(row) for row in rows]

    def handled(self, row: int, now: datetime) -> None:
        self._raw.execute(_HANDLED, (to_micros(now), row))

    def retry(self, row: int, due: datetime, why: str) -> None:
        self._raw.execute(_RETRY, (to_micros(due), why, row))

    def bury(self, consumer: str, found: EnvelopeId, now: datetime, why: str) -> None:
        self._raw.execute(_BURY, (to_micros(now), why, consumer, found))

    def park(self, row: int, now: datetime, why: str) -> None:
        self._raw.execute(_PARK, (to_micros(now), why, row))

    def _receive(self, consumer: str, envelope: Envelope, now: int) -> bool:
        if self._is_new(consumer, envelope, now):
            return True
        known = self._raw.execute(_KNOWN, (consumer, envelope.id)).fetchone()
        if known[0] != envelope.body:
            at = from_micros(now)
            self.set_aside(consumer, envelope.id, envelope.body, OTHER_BODY, at)
        return False

    def _is_new(self, consumer: str, envelope: Envelope, now: int) -> bool:
        return self._raw.execute(_RECEIVE, row_of(consumer, envelope, now)).rowcount > 0

    def _ready(self, consumer: str, now: int, limit: int) -> list[int]:
        """The first unhandled row of each order key, if its turn has come."""
        seen: set[str] = set()
        ready: list[int] = []
        for row, order_key, next_at in self._unhandled(consumer):
            if order_key in seen:
                continue  # an older one of the same order has to be handled first
            seen.add(order_key)
            if not is_ahead(next_at, now):
                ready.append(row)
            if len(ready) == limit:
                break
        return ready

    def _unhandled(self, consumer: str) -> Iterator[tuple[int, str, int]]:
        last = 0
        while page := self._raw.execute(_UNHANDLED, (consumer, last, WINDOW)).fetchall():
            yield from page
            last = page[-1][0]

    def _received(self, row: int) -> Received:
        consumer, attempts, *envelope = self._raw.execute(_GET, (row,)).fetchone()
        return Received(row, consumer, attempts, envelope_of(*envelope))


def row_of(consumer: str, envelope: Envelope, now: int) -> tuple[Any, ...]:
    """The values of an envelope that has arrived."""
    return (
        consumer,
        envelope.id,
        envelope.kind,
        envelope.schema_version,
        envelope.order_key,
        to_micros(envelope.at),
        envelope.trace_id,
        envelope.body,
        now,
    )
