"""Orders by their timers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, bindparam, select

from orderkeep.adapters.sql.tables import orders
from orderkeep.kernel.ids import OrderNo, order_no

_DUE = (
    select(orders.c.n)
    .where(orders.c.timer_at.is_not(None), orders.c.timer_at <= bindparam("now"))
    .order_by(orders.c.timer_at)
    .limit(bindparam("most"))
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlTimers:
    """Implements ``sla.watch.DueOrders``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def due(self, now: datetime, limit: int) -> Sequence[OrderNo]:
        due = self._connection.execute(_DUE, {"now": now, "most": limit})
        return [order_no(n) for n in due.scalars()]
