"""The acknowledged bodies, byte for byte."""

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.orders.ports import OrderNotFound

_KEEP = "INSERT INTO submissions (order_n, body) VALUES (?, ?)"
_PUT = (
    "INSERT INTO submissions (order_n, body) VALUES (?, ?)"
    " ON CONFLICT (order_n) DO UPDATE SET body = excluded.body"
)
_BODY = "SELECT body FROM submissions WHERE order_n = ?"


class SqlSubmissions:
    """What clients sent, with their personal data; kept apart from the events."""

    def __init__(self, work: Work) -> None:
        self._raw = work.raw

    def keep(self, no: OrderNo, body: bytes) -> None:
        """Keep the canonical body of an order."""
        self._raw.execute(_KEEP, (order_n(no), body))

    def put(self, no: OrderNo, body: bytes) -> None:
        """Keep what a draft says now, in the place of what it said."""
        self._raw.execute(_PUT, (order_n(no), body))

    def body(self, no: OrderNo) -> bytes:
        """The canonical body of an order.

        Raises:
            OrderNotFound: nothing was submitted under this number.
        """
        row = self._raw.execute(_BODY, (order_n(no),)).fetchone()
        if row is None:
            raise OrderNotFound(f"{no} has no submission")
        return bytes(row[0])
