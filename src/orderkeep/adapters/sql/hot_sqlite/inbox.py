"""The inbox on SQLite: what a consumer has received, once."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.hot_sqlite.many import insert_many, look_up
from orderkeep.adapters.sql.hot_sqlite.outbox import columns_of, envelope_of
from orderkeep.adapters.sql.instants import from_micros, is_ahead, to_micros
from orderkeep.delivery import sentences as say
from orderkeep.delivery.dead_letters import Source, fingerprint_of
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received
from orderkeep.kernel.ids import EnvelopeId

WINDOW = 512
"""Unhandled rows looked at in one step; the search goes on until enough are due."""

OTHER_BODY = say.OTHER_BODY()

# Due at once, whatever the clock says next: next_at grows only when a try has failed.
_RECEIVE = (
    "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at, trace_id, body,"
    " received_at, next_at)"
)
_RECEIVE_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_ONCE = " ON CONFLICT (consumer, message_id) DO NOTHING"
_KNOWN = "SELECT body FROM inbox WHERE consumer = ? AND message_id = ?"
_QUARANTINE = (
    "INSERT INTO quarantine (consumer, message_id, at, why, body, fingerprint)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
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
    "SELECT row, consumer, attempts, message_id, kind, schema_version, order_key, at, trace_id,"
    " body FROM {asked} CROSS JOIN inbox ON row = column1"
)
_HOLDS = "SELECT 1 FROM inbox WHERE consumer = ? AND message_id = ?"
_HANDLED = "UPDATE inbox SET handled_at = ? WHERE row = ?"
_RETRY = "UPDATE inbox SET attempts = attempts + 1, next_at = ?, why = ? WHERE row = ?"
_PLACE = "SELECT consumer, kind FROM inbox WHERE row = ?"
_PARK = (
    "UPDATE inbox SET attempts = attempts + 1, dead_at = ?, why = ?, fingerprint = ? WHERE row = ?"
)
_KIND = "SELECT kind FROM inbox WHERE consumer = ? AND message_id = ?"
# What was tried or handled has its own fate.
_BURY = (
    "UPDATE inbox SET dead_at = ?, why = ?, fingerprint = ? WHERE consumer = ? AND message_id = ?"
    " AND handled_at IS NULL AND attempts = 0"
)


class SqlInbox:
    """Implements ``delivery.ports.InboxStore``."""

    def __init__(self, work: Work) -> None:
        self._raw = work.raw

    def receive(self, consumer: str, envelopes: Sequence[Envelope], now: datetime) -> int:
        at = to_micros(now)
        rows = [(consumer, *columns_of(envelope), at) for envelope in envelopes]
        new = insert_many(self._raw, _RECEIVE, _RECEIVE_ROW, rows, _ONCE)
        if new < len(envelopes):
            for envelope in envelopes:  # What is new is found as it came.
                self._compare(consumer, envelope, at)
        return new

    def set_aside(
        self, consumer: str, message_id: str | None, body: bytes, why: str, now: datetime
    ) -> None:
        # What is delivered again must not be set aside again.
        if self._raw.execute(_IS_ASIDE, (consumer, message_id or "", body)).fetchone() is None:
            group = fingerprint_of(Source.QUARANTINE, consumer, None, why)
            row = (consumer, message_id, to_micros(now), why, body, group)
            self._raw.execute(_QUARANTINE, row)

    def holds(self, consumer: str, ids: Sequence[EnvelopeId]) -> set[EnvelopeId]:
        return {id_ for id_ in ids if self._raw.execute(_HOLDS, (consumer, id_)).fetchone()}

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        rows = [(row,) for row in self._ready(consumer, to_micros(now), limit)]
        return [received(*found) for found in look_up(self._raw, _GET, "(?)", rows)]

    def handled(self, row: int, now: datetime) -> None:
        self._raw.execute(_HANDLED, (to_micros(now), row))

    def retry(self, row: int, due: datetime, why: str) -> None:
        self._raw.execute(_RETRY, (to_micros(due), why, row))

    def bury(self, consumer: str, found: EnvelopeId, now: datetime, why: str) -> None:
        for (kind,) in self._raw.execute(_KIND, (consumer, found)).fetchall():
            group = fingerprint_of(Source.INBOX, consumer, kind, why)
            self._raw.execute(_BURY, (to_micros(now), why, group, consumer, found))

    def park(self, row: int, now: datetime, why: str) -> None:
        self._raw.execute(_PARK, (to_micros(now), why, self._group_of(row, why), row))

    def _group_of(self, row: int, why: str) -> str:
        consumer, kind = self._raw.execute(_PLACE, (row,)).fetchone()
        return fingerprint_of(Source.INBOX, consumer, kind, why)

    def _compare(self, consumer: str, envelope: Envelope, now: int) -> None:
        """A known id with another body is set aside."""
        known = self._raw.execute(_KNOWN, (consumer, envelope.id)).fetchone()
        if known[0] != envelope.body:
            at = from_micros(now)
            self.set_aside(consumer, envelope.id, envelope.body, OTHER_BODY, at)

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
        last, full = 0, True
        while full:
            page = self._raw.execute(_UNHANDLED, (consumer, last, WINDOW)).fetchall()
            yield from page
            full = len(page) == WINDOW
            last = page[-1][0] if full else last


def received(row: int, consumer: str, attempts: int, *envelope: Any) -> Received:
    """The envelope in a row of the inbox."""
    return Received(row, consumer, attempts, envelope_of(*envelope))
