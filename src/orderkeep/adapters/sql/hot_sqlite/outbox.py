"""The outbox on SQLite: envelopes saved with the change they announce."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.hot_sqlite.many import change_many, insert_many, look_up
from orderkeep.adapters.sql.instants import from_micros, is_ahead, to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Carried, Leased, Tried
from orderkeep.kernel.ids import EnvelopeId

TOPIC = "relay"
"""The bell that is rung when the outbox has something to carry."""

WINDOW = 512
"""Unsent rows looked at in one step; the search goes on until enough may travel."""

POST = "INSERT INTO outbox (id, kind, schema_version, order_key, at, trace_id, body)"
POST_ROW = "(?, ?, ?, ?, ?, ?, ?)"
# Read by state, not by watermark, through the index that holds unsent rows only.
_UNSENT = (
    "SELECT row, order_key, leased_until FROM outbox INDEXED BY ix_outbox_unsent"
    " WHERE sent_at IS NULL AND row > ? ORDER BY row LIMIT ?"
)
_LEASE = (
    "UPDATE outbox SET leased_until = column2, lease_token = lease_token + 1 FROM {asked}"
    " WHERE row = column1"
    " RETURNING row, lease_token, id, kind, schema_version, order_key, at, trace_id, body"
)
_STILL = "FROM {asked} WHERE row = column2 AND lease_token = column3 AND sent_at IS NULL"
_SENT = f"UPDATE outbox SET sent_at = column1 {_STILL}"
_ROW = "(?, ?, ?)"
_SETTLE = (
    "UPDATE outbox SET sent_at = column3, leased_until = COALESCE(column4, leased_until),"
    " published_at = COALESCE(column5, published_at),"
    " answered_at = COALESCE(column6, answered_at), answer = COALESCE(column7, answer),"
    " tries = tries + (column7 IS NOT NULL) FROM {asked}"
    " WHERE row = column1 AND lease_token = column2 AND sent_at IS NULL"
)
_SETTLED_ROW = "(?, ?, ?, ?, ?, ?, ?)"
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
        rows = [columns_of(envelope) for envelope in envelopes]
        insert_many(self._raw, POST, POST_ROW, rows)
        self._work.wake(TOPIC)

    def lease(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[Leased]:
        ends = to_micros(lease_ends)
        rows = [(row, ends) for row in islice(self._free(to_micros(now)), limit)]
        found = look_up(self._raw, _LEASE, "(?, ?)", rows)
        return sorted(map(leased, found), key=attrgetter("row"))

    def sent(self, rows: Sequence[Leased], now: datetime) -> int:
        at = to_micros(now)
        return change_many(self._raw, _SENT, _ROW, [(at, row.row, row.token) for row in rows])

    def settle(self, tries: Sequence[tuple[Leased, Tried]], now: datetime) -> None:
        rows = [settled(row, tried, now) for row, tried in tries]
        change_many(self._raw, _SETTLE, _SETTLED_ROW, rows)

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

    def _free(self, now: int) -> Iterator[int]:
        """The first unsent row of each order key, oldest first, unless it is held."""
        seen: set[str] = set()
        for row, order_key, leased_until in self._unsent():
            if order_key in seen:
                continue  # an older one of the same order has to arrive first
            seen.add(order_key)
            if leased_until is None or not is_ahead(leased_until, now):
                yield row

    def _unsent(self) -> Iterator[tuple[int, str, int | None]]:
        last, full = 0, True
        while full:
            page = self._raw.execute(_UNSENT, (last, WINDOW)).fetchall()
            yield from page
            full = len(page) == WINDOW
            last = page[-1][0] if full else last


def columns_of(envelope: Envelope) -> tuple[Any, ...]:
    """The values of an envelope, as the outbox and every inbox have them."""
    return (
        envelope.id,
        envelope.kind,
        envelope.schema_version,
        envelope.order_key,
        to_micros(envelope.at),
        envelope.trace_id,
        envelope.body,
    )


def settled(row: Leased, tried: Tried, now: datetime) -> tuple[Any, ...]:
    """A try's row and token, when it was carried or is free again, and what was answered when."""
    began = None if tried.began is None else to_micros(tried.began)
    ended = None if tried.ended is None else to_micros(tried.ended)
    sent, free = (now, None) if tried.carried else (None, now + tried.rest)
    at = [None if one is None else to_micros(one) for one in (sent, free)]
    return row.row, row.token, *at, began, ended, tried.answer


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
