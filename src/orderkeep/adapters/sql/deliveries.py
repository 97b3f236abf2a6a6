"""Work orders on their way to foreign systems, in Core: one text for both databases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, and_, bindparam, func, literal, or_, select, update

from orderkeep.adapters.sql.tables import deliveries
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.work import MANY_WAIT, LeaseLost
from orderkeep.kernel.ids import OrderNo, WorkOrderRef, order_n, order_no
from orderkeep.orders.order import ARRIVED, Delivered

_MINE = tuple(deliveries.c[name] for name in Delivery.__struct_fields__ if name != "order_no")

# Built once: composing a statement costs more than running it.
_GET = select(deliveries.c.order_n, *_MINE).where(
    deliveries.c.destination == bindparam("of"), deliveries.c.reference == bindparam("ref")
)
_DUE = (
    select(deliveries.c.order_n, *_MINE)
    .where(deliveries.c.destination == bindparam("of"), deliveries.c.next_at <= bindparam("now"))
    # What is not there yet goes before asking how what is there gets on: thousands of such looks
    # must not keep a new order waiting.
    .order_by(deliveries.c.state.in_([str(state) for state in ARRIVED]), deliveries.c.next_at)
    .limit(bindparam("most"))
)
_HELD = (
    select(deliveries.c.order_n, *_MINE)
    .where(
        deliveries.c.destination == bindparam("of"),
        deliveries.c.holder.is_not(None),
        deliveries.c.next_at.is_(None),
        deliveries.c.state.in_([Delivered.SENDING, Delivered.UNCERTAIN]),
    )
    .order_by(deliveries.c.since)
    .limit(bindparam("most"))
)
_WRITE = (
    update(deliveries)
    .where(
        deliveries.c.destination == bindparam("of"),
        deliveries.c.reference == bindparam("ref"),
        deliveries.c.lease_token == bindparam("token"),
    )
    .returning(deliveries.c.order_n, *_MINE)
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlDeliveries:
    """Implements ``bridge.work.DeliveryStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def want(
        self, destination: str, reference: WorkOrderRef, order_no: OrderNo, now: datetime
    ) -> None:
        if self.get(destination, reference) is None:
            self._connection.execute(
                deliveries.insert().values(
                    destination=destination,
                    reference=reference,
                    order_n=order_n(order_no),
                    state=Delivered.PENDING,
                    since=now,
                    next_at=now,
                )
            )

    def get(self, destination: str, reference: str) -> Delivery | None:
        row = self._connection.execute(_GET, {"of": destination, "ref": reference}).one_or_none()
        return None if row is None else _delivery(row)

    def due(self, destination: str, now: datetime, limit: int) -> Sequence[Delivery]:
        rows = self._connection.execute(_DUE, {"of": destination, "now": now, "most": limit})
        return [_delivery(row) for row in rows]

    def take(self, row: Delivery, holder: str, now: datetime) -> Delivery:
        # Without a next_at nobody else finds it: only a start after the holder's end does.
        return self._write(
            row,
            state=Delivered.SENDING,
            since=now,
            holder=holder,
            lease_token=row.lease_token + 1,
            attempts=row.attempts + 1,
            next_at=None,
        )

    def change(self, row: Delivery, **columns: Any) -> Delivery:
        return self._write(row, **columns)

    def pull_in(self, destination: str, now: datetime, farthest: datetime) -> int:
        too_far = and_(deliveries.c.destination == destination, deliveries.c.next_at > farthest)
        return self._connection.execute(
            update(deliveries).where(too_far).values(next_at=now)
        ).rowcount

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

    def held(self, destination: str, limit: int) -> Sequence[Delivery]:
        return [
            _delivery(row)
            for row in self._connection.execute(_HELD, {"of": destination, "most": limit})
        ]

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
        mine = {"of": row.destination, "ref": row.reference, "token": row.lease_token}
        # The columns to be set are those among the parameters that are columns.
        written = self._connection.execute(_WRITE, {**mine, **columns}).one_or_none()
        if written is None:
            raise LeaseLost(row.reference)
        return _delivery(written)


def _delivery(row: Row[Any]) -> Delivery:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    number = order_no(columns.pop("order_n"))
    state = Delivered(columns.pop("state"))
    return Delivery(order_no=number, state=state, **columns)
