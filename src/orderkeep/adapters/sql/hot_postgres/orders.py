"""Orders on PostgreSQL: whoever changes an order holds its row until the commit."""

from collections.abc import Sequence
from typing import Any

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import orders as sqlite
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.orders.events import Recorded

# NO KEY: the rows that only refer to the order need not wait for us.
_HOLD = "SELECT version FROM orders WHERE n = $1 FOR NO KEY UPDATE"
_FLAGS = [i for i, column in enumerate(sqlite.COLUMNS) if column.startswith("is_")]


class SqlOrders(sqlite.SqlOrders):
    """Implements ``orders.ports.OrderStore``."""

    def __init__(self, work: Work, *, writes: bool) -> None:
        super().__init__(work)
        self._pg = work.pg
        self._writes = writes

    def history(self, no: OrderNo) -> Sequence[Recorded]:
        # Before the events are read: what is decided on them must still be so at the commit. Two
        # commands for one order go one after the other, as they do on SQLite, and a unit that
        # waited reads what the other one wrote.
        if self._writes:
            self._pg.fetch(_HOLD, order_n(no))
        return super().history(no)

    def version(self, no: OrderNo) -> int:
        if not self._writes:
            return super().version(no)
        found = self._pg.fetch(_HOLD, order_n(no))
        return int(found[0][0]) if found else 0

    def _columns(self, row: Any) -> tuple[Any, ...]:
        values = list(sqlite.columns(row))
        for i in _FLAGS:
            values[i] = bool(values[i])
        return tuple(values)

    def _row(self, n: int | None) -> Any:
        if self._writes:
            self._pg.fetch(_HOLD, n)
        return super()._row(n)
