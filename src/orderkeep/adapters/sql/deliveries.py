"""Work orders on their way to foreign systems: one text for both databases."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    update,
)

from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.adapters.sql.tables import deliveries, orders
from orderkeep.bridge.crm import Telling
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.standing import Standing
from orderkeep.bridge.work import MANY_WAIT, LeaseLost
from orderkeep.kernel.ids import OrderNo, WorkOrderRef, order_n, order_no
from orderkeep.orders.order import ARRIVED, STUCK, Delivered

_FIELDS = tuple(name for name in Delivery.__struct_fields__ if name != "order_no")
_INSTANTS = frozenset({"since", "next_at", "last_sent_at"})
_COLUMNS = ", ".join(("order_n", *_FIELDS))

# Every order passes these several times: as texts, since composing a statement and unpacking its
# row cost more than running it.
_WANT = (
    "INSERT INTO deliveries (destination, reference, order_n, state, since, next_at)"
    " VALUES (?, ?, ?, 'pending', ?, ?) ON CONFLICT (destination, reference) DO NOTHING"
)
_MINE = f"SELECT {_COLUMNS} FROM deliveries WHERE destination = ?"
_GET = f"{_MINE} AND reference = ?"
# Spelled out as the index has it, which knows no bound values.
_THERE = ", ".join(f"'{state}'" for state in sorted(ARRIVED))
_DUE, _DUE_THERE = (
    f"{_MINE} AND next_at <= ? AND state {which} ({_THERE}) ORDER BY next_at LIMIT ?"
    for which in ("NOT IN", "IN")
)
# As the partial index has it.
_IN_HAND = "destination = ? AND holder IS NOT NULL AND next_at IS NULL"
_HOLDERS = (
    f"SELECT DISTINCT holder FROM deliveries WHERE {_IN_HAND} AND state IN ('sending', 'uncertain')"
)
_SILENT = (
    f"SELECT {_COLUMNS} FROM deliveries WHERE {_IN_HAND} AND state = 'sending'"
    " AND holder <> ? AND since < ? ORDER BY since LIMIT ?"
)
_STANDING = (
    # The order names its newest work order only: an older one that was replaced stands for nothing.
    select(
        orders.c.n,
        orders.c.needs_person,
        deliveries.c.reference,
        deliveries.c.since,
        deliveries.c.attempts,
        deliveries.c.detail,
    )
    .join(deliveries, deliveries.c.order_n == orders.c.n)
    .where(
        orders.c.needs_person.in_([str(state) for state in sorted(STUCK)]),
        deliveries.c.reference == orders.c.work_order_ref,
    )
    .order_by(deliveries.c.since)
    .limit(bindparam("most"))
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...

    @property
    def raw(self) -> sqlite3.Connection: ...


def in_hand(row: Delivery | Telling, holder: str, now: datetime) -> dict[str, Any]:
    """What a row becomes when a sender takes it."""
    return {
        "state": Delivered.SENDING,
        "since": now,
        "holder": holder,
        "lease_token": row.lease_token + 1,
        "attempts": row.attempts + 1,
        # Nobody else finds it without: only whoever knows that the holder is gone does.
        "next_at": None,
    }


class SqlDeliveries:
    """Implements ``bridge.work.DeliveryStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection
        self._raw = work.raw

    def want(
        self, destination: str, reference: WorkOrderRef, order_no: OrderNo, now: datetime
    ) -> None:
        at = to_micros(now)
        self._raw.execute(_WANT, (destination, reference, order_n(order_no), at, at))

    def get(self, destination: str, reference: str) -> Delivery | None:
        row = self._raw.execute(_GET, (destination, reference)).fetchone()
        return None if row is None else _delivery(row)

    def due(self, destination: str, now: datetime, limit: int) -> Sequence[Delivery]:
        # What is not there yet goes before asking how what is there gets on: thousands of such
        # looks must not keep a new order waiting. Each question stops when it has enough.
        at = to_micros(now)
        rows = self._raw.execute(_DUE, (destination, at, limit)).fetchall()
        if left := limit - len(rows):
            rows += self._raw.execute(_DUE_THERE, (destination, at, left)).fetchall()
        return [_delivery(row) for row in rows]

    def take(self, row: Delivery, holder: str, now: datetime) -> Delivery:
        return self._write(row, **in_hand(row, holder, now))

    def change(self, row: Delivery, **columns: Any) -> Delivery:
        return self._write(row, **columns)

    def pull_in(self, destination: str, now: datetime, farthest: datetime) -> int:
        too_far = and_(deliveries.c.destination == destination, deliveries.c.next_at > farthest)
        return self._connection.execute(
            update(deliveries).where(too_far).values(next_at=now)
        ).rowcount

    def standing(self, limit: int) -> Sequence[Standing]:
        return [_standing(row) for row in self._connection.execute(_STANDING, {"most": limit})]

    def waiting(self, destination: str) -> int:
        first = (
            select(literal(1).label("one"))
            .where(
                deliveries.c.destination == destination,
                # As the partial index says it; what is being sent has left.
                deliveries.c.next_at.is_not(None),
                deliveries.c.state == Delivered.PENDING,
            )
            .limit(MANY_WAIT)
            .subquery()
        )
        counted = select(func.count()).select_from(first)
        return int(self._connection.execute(counted).scalar_one())

    def holders(self, destination: str) -> set[str]:
        return {holder for (holder,) in self._raw.execute(_HOLDERS, (destination,))}

    def silent(
        self, destination: str, ours: str, before: datetime, limit: int
    ) -> Sequence[Delivery]:
        asked = (destination, ours, to_micros(before), limit)
        return [_delivery(row) for row in self._raw.execute(_SILENT, asked)]

    def abandon(self, destination: str, now: datetime, holder: str | None) -> int:
        sending = and_(
            deliveries.c.destination == destination, deliveries.c.state == Delivered.SENDING
        )
        if holder is not None:
            sending = and_(sending, deliveries.c.holder == holder)
            self._let_look(destination, now, holder)
        return self._connection.execute(
            update(deliveries)
            .where(sending, or_(deliveries.c.next_at.is_(None), deliveries.c.next_at > now))
            .values(next_at=now)
        ).rowcount

    def _let_look(self, destination: str, now: datetime, holder: str) -> None:
        """What was shown as uncertain only because its sender did not move, and now is gone."""
        self._connection.execute(
            update(deliveries)
            .where(
                deliveries.c.destination == destination,
                deliveries.c.state == Delivered.UNCERTAIN,
                deliveries.c.holder == holder,
                deliveries.c.next_at.is_(None),
            )
            .values(next_at=now, last_sent_at=now, holder=None)
        )

    def _write(self, row: Delivery, **columns: Any) -> Delivery:
        mine = (row.destination, row.reference, row.lease_token)
        values = [_bound(value) for value in columns.values()]
        written = self._raw.execute(_writing(tuple(columns)), (*values, *mine)).fetchone()
        if written is None:
            raise LeaseLost(row.reference, holder=row.holder)
        return _delivery(written)


@lru_cache
def _writing(columns: tuple[str, ...]) -> str:
    """Sets columns of a row that is as it was read."""
    unknown = [name for name in columns if name not in _FIELDS]
    if unknown:
        raise TypeError(f"a delivery has no {', '.join(unknown)}")
    chosen = ", ".join(f"{name} = ?" for name in columns)
    return (
        f"UPDATE deliveries SET {chosen} WHERE destination = ? AND reference = ?"
        f" AND lease_token = ? RETURNING {_COLUMNS}"
    )


def _bound(value: Any) -> Any:
    return to_micros(value) if isinstance(value, datetime) else value


def _delivery(row: Sequence[Any]) -> Delivery:
    number, *values = row
    columns = dict(zip(_FIELDS, values, strict=True))
    for name in _INSTANTS:
        if columns[name] is not None:
            columns[name] = from_micros(columns[name])
    columns["state"] = Delivered(columns["state"])
    columns["recall_wanted"] = bool(columns["recall_wanted"])  # SQLite has no truth, only numbers
    return Delivery(order_no=order_no(number), **columns)


def _standing(row: Any) -> Standing:
    reference = WorkOrderRef(row.reference)
    return Standing(
        order_no(row.n), reference, row.needs_person, row.since, row.attempts, row.detail or ""
    )
