"""What the simulated world knows of its orders, rebuilt event by event as they come."""

from orderkeep.adapters.sql.hot_sqlite.orders import recorded_from
from orderkeep.kernel.ids import order_no
from orderkeep.orders.events import Recorded
from orderkeep.orders.evolve import evolve
from orderkeep.orders.order import Order
from orderkeep.testing.store import SimStore

_VERSIONS = "SELECT n, version FROM orders ORDER BY n"
_NEWS = (
    "SELECT seq, at, stage, actor_kind, actor_id, actor_role, command, source, trace_id, data"
    " FROM events WHERE order_n = ? AND seq > ? ORDER BY seq"
)


class Book:
    """Orders and their events, kept up with the store's."""

    def __init__(self, store: SimStore) -> None:
        self._store = store
        self._orders: dict[int, Order] = {}
        self.events: dict[int, list[Recorded]] = {}

    def orders(self) -> list[Order]:
        """All orders as they are now."""
        raw = self._store.raw
        versions = raw.execute(_VERSIONS).fetchall()
        for n, version in versions:
            known = self._orders.get(n)
            if known is None or known.version != version:
                self._follow(n, known)
        return [self._orders[n] for n, _ in versions]

    def _follow(self, n: int, order: Order | None) -> None:
        raw = self._store.raw
        seen = order.version if order else 0
        news = [
            recorded_from(order_no(n), *row) for row in raw.execute(_NEWS, (n, seen)).fetchall()
        ]
        self.events.setdefault(n, []).extend(news)
        for recorded in news:
            order = evolve(order, recorded)
        assert order is not None, f"order {n} has no events"
        self._orders[n] = order
