"""What the office reads of orders: lists and counts, proofs of an order's way, searches."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from time import monotonic
from typing import Any, Protocol

import msgspec

from orderkeep.adapters.embedded import NOBODY
from orderkeep.adapters.sql.hot_sqlite.board import Condition, Leg, Plan, read_page, walk
from orderkeep.adapters.sql.hot_sqlite.board_rows import read_rows
from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.board.filters import Cursor, PageQuery
from orderkeep.board.ports import (
    Backlog,
    Capped,
    Counts,
    Found,
    Hop,
    Page,
    Searched,
    Submitted,
    Wanted,
)
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.order import Stage
from orderkeep.orders.view import BoardRow

CAP = 1000
NEWEST = 20_000
"""Orders that a search for a client or a file looks through."""

_LOOKED_AT = 4000
"""Envelopes looked at around one event of an order."""

_COMMIT_WAIT = 500_000
"""Microseconds by which envelopes may be out of order."""

_VERSION = "SELECT max(position) FROM events"
_STAGES = "SELECT name, value FROM counters WHERE name LIKE 'stage:%'"
_BODY = "SELECT body FROM submissions WHERE order_n = ?"
_PARTNERS = "SELECT id FROM partners"
_REFS = "SELECT n FROM orders WHERE partner_id = ? AND client_ref >= ? AND client_ref < ? LIMIT ?"
_NEWEST = (
    "SELECT e.order_n, e.data, s.body FROM events e"
    " LEFT JOIN submissions s ON s.order_n = e.order_n"
    " WHERE e.order_n BETWEEN ? AND ? AND e.seq = 1 ORDER BY e.order_n DESC"
)
_LAST_N = "SELECT max(n) FROM orders"

_JOBS = "SELECT at, version, state FROM price_jobs WHERE order_n = ? ORDER BY version"
_DELIVERY = (
    "SELECT destination, reference, state, since, mes_id FROM deliveries"
    " WHERE reference = ? AND destination IN ('mes', 'floor', 'crm')"
)
_LAST_ENVELOPE = "SELECT max(row) FROM outbox"
_ENVELOPE_AT = "SELECT row, at FROM outbox WHERE row >= ? ORDER BY row LIMIT 1"
_ENVELOPES = (
    "SELECT row, at, kind, id, sent_at, published_at, answered_at, answer, tries FROM outbox"
    " WHERE row >= ? AND row < ? AND at <= ? AND order_key = ?"
)
_RECEIVED = (
    "SELECT received_at, handled_at, dead_at, attempts FROM inbox"
    " WHERE consumer = ? AND message_id = ?"
)
_FLOOR = (
    "SELECT created_at, status_since, status, reference FROM floor_work_orders WHERE order_no = ?"
)
_BACKLOG_OUT = (
    "SELECT count(*), min(at) FROM (SELECT at FROM outbox INDEXED BY ix_outbox_unsent"
    " WHERE sent_at IS NULL ORDER BY row LIMIT ?) unsent"
)
_BACKLOG_IN = (
    "SELECT count(*), min(received_at) FROM (SELECT received_at FROM inbox INDEXED BY ix_inbox_due"
    " WHERE consumer = ? AND handled_at IS NULL AND dead_at IS NULL ORDER BY row LIMIT ?) unhandled"
)
_UNROUTED = "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE consumer = ? LIMIT ?) there"
_GIVEN = "SELECT value FROM counters WHERE name = 'orders'"
_COUNTED = 10_000
_CONSUMERS = ("quoting", "bridge", "floor", "crm")
_RECEIVERS = (*_CONSUMERS, NOBODY)
_APPROVALS = Plan(
    (
        Leg("ix_orders_stage", Condition("is_open AND stage = ?", ("PRICE_CALCULATED",))),
        *(
            Leg(
                "ix_orders_person",
                Condition("needs_person = ? AND stage <> 'PRICE_CALCULATED'", (word,)),
            )
            for word in ("price", "cancel", "recalled")
        ),
    ),
    ("priority", "due_at", "n"),
)


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def rows(self) -> dict[int, BoardRow] | None: ...


class _Body(msgspec.Struct):
    customer: dict[str, Any] = {}
    delivery_address: Any = None
    note: str | None = None


_bodies = msgspec.json.Decoder(_Body)


class SqlBoard:
    """Implements ``board.ports.BoardStore``."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._raw = work.raw

    # --- lists ------------------------------------------------------------------------------

    def page(self, query: PageQuery) -> Page:
        return read_page(self._work, query)

    def approvals(self, after: Cursor | None, limit: int) -> Page:
        return walk(self._work, _APPROVALS, after, limit)

    def row(self, no: OrderNo) -> BoardRow | None:
        n = order_n(no)
        rows = read_rows(self._work, [n]) if n else []
        return rows[0] if rows else None

    def version(self) -> int:
        return int(self._raw.execute(_VERSION).fetchone()[0] or 0)

    # --- counts -----------------------------------------------------------------------------

    def counts(self, login: str) -> Counts:
        stages = self._stages()
        waiting = stages[Stage.PRICE_CALCULATED]
        undecided = self._capped("ix_orders_person", "needs_person IN ('price', 'cancel')")
        return Counts(
            stages=stages,
            claimable=self._capped("ix_orders_claimable", "is_claimable"),
            mine=self.in_work(login),
            held=self._capped("ix_orders_held", "is_open AND hold_until IS NOT NULL"),
            at_risk=self._at_risk("at_risk"),
            late=self._at_risk("late"),
            needs_person=self._capped("ix_orders_person", "needs_person IS NOT NULL"),
            approval=Capped(min(waiting + undecided.n, CAP), more=waiting + undecided.n > CAP),
        )

    def in_work(self, login: str) -> Capped:
        where = "is_open AND claim_operator IS NOT NULL AND claim_operator = ?"
        return self._capped("ix_orders_operator", where, login)

    def _stages(self) -> dict[str, int]:
        counted = dict(self._raw.execute(_STAGES).fetchall())
        return {str(stage): counted.get(f"stage:{stage}", 0) for stage in Stage}

    def _at_risk(self, word: str) -> Capped:
        return self._capped("ix_orders_risk", "risk <> 'ok' AND is_open AND risk = ?", word)

    def _capped(self, index: str, where: str, *values: str) -> Capped:
        counted = (
            f"SELECT count(*) FROM (SELECT 1 FROM orders INDEXED BY {index}"
            f" WHERE {where} LIMIT {CAP + 1}) found"
        )
        n = int(self._raw.execute(counted, values).fetchone()[0])
        return Capped(min(n, CAP), more=n > CAP)

    def backlog(self, now: datetime) -> Backlog:
        unsent, oldest = self._raw.execute(_BACKLOG_OUT, (_COUNTED,)).fetchone()
        waiting = [
            self._raw.execute(_BACKLOG_IN, (consumer, _COUNTED)).fetchone()
            for consumer in _CONSUMERS
        ]
        received = min((since for _, since in waiting if since is not None), default=None)
        given = self._raw.execute(_GIVEN).fetchone()
        [unrouted] = self._raw.execute(_UNROUTED, (NOBODY, _COUNTED)).fetchone()
        return Backlog(
            stages=self._stages(),
            orders=given[0] if given else 0,
            unsent=unsent,
            oldest_unsent_s=_age_s(oldest, now),
            unhandled=sum(count for count, _ in waiting),
            oldest_unhandled_s=_age_s(received, now),
            unrouted=unrouted,
        )

    # --- one order --------------------------------------------------------------------------

    def submitted(self, no: OrderNo) -> Submitted:
        row = self._raw.execute(_BODY, (order_n(no),)).fetchone()
        if row is None:
            return Submitted({}, None, None)
        body = _bodies.decode(bytes(row[0]))
        address = body.delivery_address
        told = address if isinstance(address, str) or address is None else _one_line(address)
        return Submitted({k: str(v) for k, v in body.customer.items()}, told, body.note)

    def hops(
        self, no: OrderNo, references: Sequence[str], instants: Sequence[datetime]
    ) -> Sequence[Hop]:
        found = [
            *self._announced(no, instants),
            *self._priced(no),
            *self._delivered(references),
            *self._at_the_floor(no),
        ]
        return sorted(found, key=attrgetter("at"))

    def _announced(self, no: OrderNo, instants: Sequence[datetime]) -> Iterator[Hop]:
        """Envelopes of an order, found by time.

        An index by order would cost every accept. Rows are numbered as time goes, give or take
        the wait for a commit.
        """
        last = self._raw.execute(_LAST_ENVELOPE).fetchone()[0] or 0
        seen: set[int] = set()
        for instant in sorted({to_micros(one) for one in instants}):
            first = self._row_at(instant - _COMMIT_WAIT, last)
            values = (first, first + _LOOKED_AT, instant + _COMMIT_WAIT, no)
            for row, *envelope in self._raw.execute(_ENVELOPES, values):
                if row not in seen:
                    seen.add(row)
                    yield from self._carried(*envelope)

    def _row_at(self, instant: int, last: int) -> int:
        """The first outbox row not older than an instant: found by halving."""
        low, high = 0, last + 1
        while low < high:
            middle = (low + high) // 2
            found = self._raw.execute(_ENVELOPE_AT, (middle,)).fetchone()
            if found is None or found[1] >= instant:
                high = middle
            else:
                low = found[0] + 1
        return low

    def _carried(self, at: int, kind: str, id_: str, *sent: Any) -> Iterator[Hop]:
        yield Hop(from_micros(at), "order", "outbox", kind, "kept", id_)
        yield from _over_the_transport(kind, id_, *sent)
        came_from = "broker" if sent[1] is not None else "inbox"
        for consumer in _RECEIVERS:
            known = self._raw.execute(_RECEIVED, (consumer, id_)).fetchone()
            if known is None:
                continue
            received, handled, dead, attempts = known
            state = "received" if attempts == 0 else f"tried {attempts}"
            yield Hop(from_micros(received), came_from, consumer, kind, state, id_)
            if handled or dead:
                state = "handled" if handled else "dead"
                yield Hop(from_micros(handled or dead), consumer, "order", kind, state, id_)

    def _priced(self, no: OrderNo) -> Iterator[Hop]:
        for at, version, state in self._raw.execute(_JOBS, (order_n(no),)):
            yield Hop(from_micros(at), "inbox", "quoting", "price", state, f"{no}/price {version}")

    def _delivered(self, references: Sequence[str]) -> Iterator[Hop]:
        for reference in references:
            for destination, ref, state, since, mes_id in self._raw.execute(
                _DELIVERY, (reference,)
            ):
                told = f"{ref} = {mes_id}" if mes_id and mes_id != ref else ref
                yield Hop(from_micros(since), "bridge", destination, "work_order", state, told)

    def _at_the_floor(self, no: OrderNo) -> Iterator[Hop]:
        for created, since, status, reference in self._raw.execute(_FLOOR, (no,)):
            yield Hop(from_micros(created), "bridge", "floor", "work_order", "kept", reference)
            if since != created:
                yield Hop(from_micros(since), "floor", "floor", "work_order", status, reference)

    # --- searches ---------------------------------------------------------------------------

    def search_refs(self, prefix: str, limit: int) -> Sequence[Found]:
        beyond = f"{prefix}\U0010ffff"
        found: list[int] = []
        # The index goes by partner first; there are few of them.
        for (partner_id,) in self._raw.execute(_PARTNERS).fetchall():
            values = (partner_id, prefix, beyond, limit - len(found))
            found += [n for (n,) in self._raw.execute(_REFS, values)]
        return [Found(order_no(n), "client_ref") for n in found[:limit]]

    def search_newest(self, wanted: Wanted) -> Searched:
        last = int(self._raw.execute(_LAST_N).fetchone()[0] or 0)
        found: list[Found] = []
        ends = monotonic() + wanted.deadline.total_seconds()
        first = max(last - NEWEST, 0)
        for n, data, body in self._raw.execute(_NEWEST, (first + 1, last)):
            if why := _matches(wanted, data, body):
                found.append(Found(order_no(n), why))
            if len(found) >= wanted.limit or monotonic() > ends:
                return Searched(found, partial=True)
        return Searched(found, partial=first > 0)


def _age_s(instant: int | None, now: datetime) -> float:
    return 0.0 if instant is None else (to_micros(now) - instant) / 1_000_000


def _over_the_transport(
    kind: str,
    id_: str,
    sent: int | None,
    published: int | None,
    answered: int | None,
    answer: str | None,
    tries: int,
) -> Iterator[Hop]:
    """From the outbox on: to a broker and its answer, or straight into the inboxes."""
    if published is None or answered is None:
        if sent is not None:
            yield Hop(from_micros(sent), "outbox", "inbox", kind, "sent", id_)
        return
    state = "published" if tries <= 1 else f"tried {tries}"
    yield Hop(from_micros(published), "outbox", "broker", kind, state, id_)
    yield Hop(from_micros(answered), "broker", "outbox", kind, answer or "unconfirmed", id_)


def _matches(wanted: Wanted, data: str, body: bytes | None) -> str | None:
    if wanted.text in data.casefold() and _in_a_file_name(wanted.text, data):
        return "file"
    if body is None or not wanted.contacts:
        return None
    customer = _bodies.decode(bytes(body)).customer
    if _has_tail(wanted.text, str(customer.get("phone", ""))):
        return "phone"
    for field in ("email", "name"):
        if wanted.text in str(customer.get(field, "")).casefold():
            return field
    return None


class _Named(msgspec.Struct):
    file_name: str = ""


class _Lines(msgspec.Struct):
    positions: list[_Named] = []


_lines = msgspec.json.Decoder(_Lines)


def _in_a_file_name(text: str, data: str) -> bool:
    return any(text in line.file_name.casefold() for line in _lines.decode(data).positions)


def _has_tail(text: str, phone: str) -> bool:
    wanted = "".join(filter(str.isdecimal, text))
    digits = "".join(filter(str.isdecimal, phone))
    return len(wanted) >= 4 and digits.endswith(wanted)


def _one_line(address: Any) -> str:
    parts = address.values() if isinstance(address, dict) else [address]
    return ", ".join(str(part) for part in parts if part)
