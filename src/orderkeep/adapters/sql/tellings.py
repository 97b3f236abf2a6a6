"""How far the CRM knows of each order, in Core: one text for both databases."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from orderkeep.adapters.sql.deliveries import in_hand
from orderkeep.adapters.sql.tables import crm_orders, crm_told, orders
from orderkeep.bridge.crm import Telling, Told
from orderkeep.bridge.work import MANY_WAIT, LeaseLost
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.order import Delivered

_MINE = tuple(crm_orders.c[name] for name in Telling.__struct_fields__ if name != "order_no")

# Built once: composing a statement costs more than running it.
_GET = select(crm_orders.c.order_n, *_MINE).where(crm_orders.c.order_n == bindparam("of"))
_DUE = (
    select(crm_orders.c.order_n, *_MINE)
    .where(crm_orders.c.next_at <= bindparam("now"))
    .order_by(crm_orders.c.next_at)
    .limit(bindparam("most"))
)
_HOLDERS = (
    select(crm_orders.c.holder)
    .distinct()
    .where(
        crm_orders.c.state == Delivered.SENDING.value,
        crm_orders.c.next_at.is_(None),
        crm_orders.c.holder.is_not(None),
    )
)
_WRITE = (
    update(crm_orders)
    .where(crm_orders.c.order_n == bindparam("of"), crm_orders.c.lease_token == bindparam("token"))
    .returning(crm_orders.c.order_n, *_MINE)
)
_LATE = (
    select(crm_orders.c.order_n, *_MINE)
    .where(
        or_(
            crm_orders.c.next_at.is_not(None),
            and_(crm_orders.c.next_at.is_(None), text("crm_orders.state = 'sending'")),
        ),
        crm_orders.c.news_since < bindparam("before"),
    )
    .order_by(crm_orders.c.order_n)
    .limit(bindparam("most"))
)
_ODD = (
    select(crm_orders.c.order_n, *_MINE)
    .where(
        # As the partial index says it.
        text(
            "next_at IS NULL AND"
            " (differs IS NOT NULL OR state NOT IN ('applied', 'confirmed', 'sending'))"
        ),
        crm_orders.c.since < bindparam("before"),
    )
    .order_by(crm_orders.c.order_n)
    .limit(bindparam("most"))
)
_COMPARED = (
    select(orders.c.stage, crm_orders.c.order_n, *_MINE)
    .join(orders, orders.c.n == crm_orders.c.order_n)
    .where(
        text("orders.is_open"),
        crm_orders.c.next_at.is_(None),
        crm_orders.c.state.in_([Delivered.APPLIED.value, Delivered.CONFIRMED.value]),
        crm_orders.c.order_n > bindparam("after"),
    )
    .order_by(crm_orders.c.order_n)
    .limit(bindparam("most"))
)
_STATES = select(crm_orders.c.order_n, crm_orders.c.state)
_UNTOLD = (
    select(orders.c.n)
    .where(
        # As a partial index of open orders says it.
        text("is_open"),
        orders.c.body_sha256.is_not(None),
        orders.c.n > bindparam("after"),
        ~select(literal(1)).where(crm_orders.c.order_n == orders.c.n).exists(),
    )
    .order_by(orders.c.n)
    .limit(bindparam("most"))
)
_WAITING = select(func.count()).select_from(
    select(literal(1).label("one"))
    .where(crm_orders.c.next_at.is_not(None))
    .limit(MANY_WAIT)
    .subquery()
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlTellings:
    """Implements ``bridge.crm.TellingStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, no: OrderNo) -> Telling | None:
        row = self._connection.execute(_GET, {"of": order_n(no)}).one_or_none()
        return None if row is None else _telling(row)

    def want(self, no: OrderNo, now: datetime) -> None:
        fresh = {
            "order_n": order_n(no), "state": Delivered.PENDING.value, "since": now, "next_at": now,
            "news_since": now,
        }  # fmt: skip
        self._connection.execute(self._insert(crm_orders).on_conflict_do_nothing(), fresh)

    def due(self, now: datetime, limit: int) -> Sequence[Telling]:
        rows = self._connection.execute(_DUE, {"now": now, "most": limit})
        return [_telling(row) for row in rows]

    def take(self, row: Telling, holder: str, now: datetime) -> Telling:
        return self.change(row, **in_hand(row, holder, now))

    def change(self, row: Telling, **columns: Any) -> Telling:
        mine = {"of": order_n(row.order_no), "token": row.lease_token}
        # The columns to be set are those among the parameters that are columns.
        written = self._connection.execute(_WRITE, {**mine, **columns}).one_or_none()
        if written is None:
            raise LeaseLost(row.order_no, holder=row.holder)
        return _telling(written)

    def settled(self, no: OrderNo, told: Told) -> None:
        facts = {
            "order_n": order_n(no), "version": told.version, "kind": told.kind,
            "state": told.state.value, "at": told.at, "attempts": told.attempts,
            "detail": told.detail,
        }  # fmt: skip
        known = and_(crm_told.c.order_n == facts["order_n"], crm_told.c.version == told.version)
        if self._connection.execute(update(crm_told).where(known).values(**facts)).rowcount == 0:
            self._connection.execute(insert(crm_told).values(**facts))

    def told(self, no: OrderNo) -> Sequence[Told]:
        mine = select(crm_told).where(crm_told.c.order_n == order_n(no))
        return [
            Told(row.version, row.kind, Delivered(row.state), row.at, row.attempts, row.detail)
            for row in self._connection.execute(mine.order_by(crm_told.c.version))
        ]

    def states(self, numbers: Sequence[OrderNo]) -> Mapping[OrderNo, Delivered]:
        wanted = [n for no in numbers if (n := order_n(no)) is not None]
        rows = self._connection.execute(_STATES.where(crm_orders.c.order_n.in_(wanted)))
        return {order_no(row.order_n): Delivered(row.state) for row in rows}

    def untold(self, after: int, limit: int) -> Sequence[OrderNo]:
        rows = self._connection.execute(_UNTOLD, {"after": after, "most": limit})
        return [order_no(row.n) for row in rows]

    def late(self, before: datetime, limit: int) -> Sequence[Telling]:
        rows = self._connection.execute(_LATE, {"before": before, "most": limit})
        return [_telling(row) for row in rows]

    def odd(self, before: datetime, limit: int) -> Sequence[Telling]:
        rows = self._connection.execute(_ODD, {"before": before, "most": limit})
        return [_telling(row) for row in rows]

    def compared(self, after: int, limit: int) -> Sequence[tuple[Telling, str]]:
        rows = self._connection.execute(_COMPARED, {"after": after, "most": limit})
        return [(_telling(row), row.stage) for row in rows]

    def waiting(self) -> int:
        return int(self._connection.execute(_WAITING).scalar_one())

    def pull_in(self, now: datetime, farthest: datetime) -> int:
        too_far = crm_orders.c.next_at > farthest
        pulled = update(crm_orders).where(too_far).values(next_at=now)
        return self._connection.execute(pulled).rowcount

    def holders(self) -> set[str]:
        return {*self._connection.execute(_HOLDERS).scalars()}

    def abandon(self, now: datetime, holder: str | None) -> int:
        sending = and_(
            crm_orders.c.state == Delivered.SENDING.value, crm_orders.c.next_at.is_(None)
        )
        if holder is not None:
            sending = and_(sending, crm_orders.c.holder == holder)
        freed = update(crm_orders).where(sending).values(next_at=now)
        return self._connection.execute(freed).rowcount

    def _insert(self, table: Any) -> Any:
        on_postgres = self._connection.dialect.name == "postgresql"
        return postgresql.insert(table) if on_postgres else sqlite.insert(table)


def _telling(row: Row[Any]) -> Telling:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    number = order_no(columns.pop("order_n"))
    state = Delivered(columns.pop("state"))
    columns.pop("stage", None)  # Of the order, where it was asked for.
    return Telling(order_no=number, state=state, **columns)
