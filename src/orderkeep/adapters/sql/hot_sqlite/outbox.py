"""The outbox on SQLite: envelopes saved with the change they announce."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.instants import from_micros, is_ahead, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Carried, Leased, Tried
from orderkeep.kernel.ids import EnvelopeId

TOPIC = "relay"
"""The bell that is rung when the outbox has something to carry."""

WINDOW = 512
"""Unsent rows looked at in one step; the search goes on until enough may travel."""

POST = (
    "INSERT INTO outbox (id, kind, schema_version, order_key, at, trace_id, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# Read by state, not by watermark, through the index that holds unsent rows only.
_UNSENT = (
    "SELECT row, order_key, leased_until FROM outbox INDEXED BY ix_outbox_unsent"
    " WHERE sent_at IS NULL AND row > ? ORDER BY row LIMIT ?"
)
_LEASE = (
    "UPDATE outbox SET leased_until = ?, lease_token = lease_token + 1 WHERE row = ?"
    " RETURNING row, lease_token, id, kind, schema_version, order_key, at, trace_id, body"
)
_SENT = "UPDATE outbox SET sent_at = ? WHERE row = ? AND lease_token = ? AND sent_at IS NULL"
_PUT_BACK = (
    "UPDATE outbox SET leased_until = ? WHERE row = ? AND lease_token = ? AND sent_at IS NULL"
)
_NOTE = (
    "UPDATE outbox SET published_at = ?, answered_at = ?, answer = ?, tries = tries + 1"
    " WHERE row = ? AND lease_token = ?"
)
_CARRIED = (
    "SELECT row, id, kind, order_key, sent_at FROM outbox"
    " WHERE sent_at IS NOT NULL AND row > ? ORDER BY row LIMIT ?"
)
_SEND_AGAIN = "UPDATE outbox SET sent_at = NULL, leased_until = NULL WHERE row = ?"
_RELEASE_ALL = (
    "UPDATE outbox SET leased_until = NULL WHERE sent_at IS NULL AND leased_until IS NOT NULL"
)


class SqlOutbox:
    """Implements ``delivery.ports.OutboxStore``."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._raw = work.raw

    def post(self, envelopes: Sequence[Envelope]) -> None:
        self._raw.executemany(POST, [_row(envelope) for envelope in envelopes])
        self._work.wake(TOPIC)

    def lease(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[Leased]:
        ends = to_micros(lease_ends)
        rows = list(self._free(to_micros(now), limit))
        return [leased(self._raw.execute(_LEASE, (ends, row)).fetchone()) for row in rows]

    def sent(self, rows: Sequence[Leased], now: datetime) -> int:
        at = to_micros(now)
        return self._raw.executemany(_SENT, [(at, row.row, row.token) for row in rows]).rowcount

    def note(self, tries: Sequence[tuple[Leased, Tried]]) -> None:
        self._raw.executemany(_NOTE, [(*note_of(tried), at.row, at.token) for at, tried in tries])

    def carried(self, after: int, limit: int) -> Sequence[Carried]:
        found = self._raw.execute(_CARRIED, (after, limit)).fetchall()
        return [
            Carried(row, EnvelopeId(id_), kind, order_key, from_micros(sent_at))
            for row, id_, kind, order_key, sent_at in found
        ]

    def send_again(self, rows: Sequence[int]) -> None:
        self._raw.executemany(_SEND_AGAIN, [(row,) for row in rows])
        self._work.wake(TOPIC)

    def release_all(self) -> int:
        return self._raw.execute(_RELEASE_ALL).rowcount

    def put_back(self, rows: Sequence[Leased], due: datetime) -> None:
        until = to_micros(due)
        self._raw.executemany(_PUT_BACK, [(until, row.row, row.token) for row in rows])

    def _free(self, now: int, limit: int) -> Iterator[int]:
        """The first unsent row of each order key, unless it is held."""
        seen: set[str] = set()
        found = 0
        for row, order_key, leased_until in self._unsent():
            if order_key in seen:
                continue  # an older one of the same order has to arrive first
            seen.add(order_key)
            if leased_until is not None and is_ahead(leased_until, now):
                continue
            yield row
            found += 1
            if found == limit:
                return

    def _unsent(self) -> Iterator[tuple[int, str, int | None]]:
        last = 0
        while page := self._raw.execute(_UNSENT, (last, WINDOW)).fetchall():
            yield from page
            last = page[-1][0]


def _row(envelope: Envelope) -> tuple[Any, ...]:
    return (
        envelope.id,
        envelope.kind,
        envelope.schema_version,
        envelope.order_key,
        to_micros(envelope.at),
        envelope.trace_id,
        envelope.body,
    )


def note_of(tried: Tried) -> tuple[int | None, int | None, str | None]:
    """The columns of the last try."""
    began = None if tried.began is None else to_micros(tried.began)
    ended = None if tried.ended is None else to_micros(tried.ended)
    return began, ended, tried.answer


def leased(found: tuple[Any, ...]) -> Leased:
    """The lease in a row that was taken."""
    row, token, *envelope = found
    return Leased(row, token, envelope_of(*envelope))


def envelope_of(
    id_: str, kind: str, schema_version: int, order_key: str, at: int, trace_id: str, body: bytes
) -> Envelope:
    """The envelope in a row's columns."""
    return Envelope(
        EnvelopeId(id_), kind, schema_version, order_key, from_micros(at), trace_id, bytes(body)
    )
