"""The inbox on SQLite: what a consumer has received, once."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.hot_sqlite.outbox import envelope_of
from orderkeep.adapters.sql.types import is_ahead, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received

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
_UNHANDLED = (
    "SELECT row, order_key, next_at FROM inbox INDEXED BY ix_inbox_due"
    " WHERE consumer = ? AND handled_at IS NULL AND dead_at IS NULL AND row > ?"
    " ORDER BY row LIMIT ?"
)
_GET = (
    "SELECT consumer, attempts, message_id, kind, schema_version, order_key, at, trace_id, body"
    " FROM inbox WHERE row = ?"
)
_HANDLED = "UPDATE inbox SET handled_at = ? WHERE row = ?"
_RETRY = "UPDATE inbox SET attempts = attempts + 1, next_at = ?, why = ? WHERE row = ?"
_PARK = "UPDATE inbox SET attempts = attempts + 1, dead_at = ?, why = ? WHERE row = ?"


class SqlInbox:
    """Implements ``delivery.ports.InboxStore``."""

    def __init__(self, work: Work) -> None:
        self._raw = work.raw

    def receive(self, consumer: str, envelopes: Sequence[Envelope], now: datetime) -> int:
        at = to_micros(now)
        return sum(self._receive(consumer, envelope, at) for envelope in envelopes)

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        rows = self._ready(consumer, to_micros(now), limit)
        return [self._received(row) for row in rows]

    def handled(self, row: int, now: datetime) -> None:
        self._raw.execute(_HANDLED, (to_micros(now), row))

    def retry(self, row: int, due: datetime, why: str) -> None:
        self._raw.execute(_RETRY, (to_micros(due), why, row))

    def park(self, row: int, now: datetime, why: str) -> None:
        self._raw.execute(_PARK, (to_micros(now), why, row))

    def _receive(self, consumer: str, envelope: Envelope, now: int) -> bool:
        if self._raw.execute(_RECEIVE, _row(consumer, envelope, now)).rowcount:
            return True
        known = self._raw.execute(_KNOWN, (consumer, envelope.id)).fetchone()
        if known[0] != envelope.body:
            set_aside = (consumer, envelope.id, now, OTHER_BODY, envelope.body)
            self._raw.execute(_QUARANTINE, set_aside)
        return False

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


def _row(consumer: str, envelope: Envelope, now: int) -> tuple[Any, ...]:
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
