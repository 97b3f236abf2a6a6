"""What a partner asks about its orders: keyset walks over its own indexes."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

from orderkeep.adapters.sql.hot_sqlite.board_rows import read_rows
from orderkeep.adapters.sql.hot_sqlite.orders import recorded_from
from orderkeep.kernel.ids import PartnerId, order_no
from orderkeep.orders.tracking import Announced
from orderkeep.orders.view import BoardRow

STRETCH = 1000
"""Events looked at for one page: most of them may be of kinds that are not asked for."""

_SHOWN = "stage NOT IN ('INITIATED', 'FILE_UPLOADED')"
_ORDERS = f"SELECT n FROM orders WHERE partner_id = ? AND n > ? AND {_SHOWN} ORDER BY n LIMIT ?"
_BY_REF = f"SELECT n FROM orders WHERE partner_id = ? AND client_ref = ? AND n > ? AND {_SHOWN}"
_EVENTS = (
    "SELECT e.position, e.order_n, o.client_ref, e.kind, e.seq, e.at, e.stage, e.actor_kind,"
    " e.actor_id, e.actor_role, e.command, e.source, e.trace_id, e.data"
    " FROM events e JOIN orders o ON o.n = e.order_n"
    " WHERE e.partner_id = ? AND e.position > ? ORDER BY e.position LIMIT ?"
)


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def rows(self) -> dict[int, BoardRow] | None: ...


class SqlTracking:
    """Implements ``orders.tracking.TrackingStore``."""

    EVENTS = _EVENTS

    def __init__(self, work: _Work) -> None:
        self._work = work

    def orders_of(
        self, partner_id: PartnerId, after_n: int, limit: int, client_ref: str | None = None
    ) -> Sequence[BoardRow]:
        if client_ref is None:
            found = self._work.raw.execute(_ORDERS, (partner_id, after_n, limit))
        else:
            found = self._work.raw.execute(_BY_REF, (partner_id, client_ref, after_n))
        return read_rows(self._work, [n for (n,) in found])

    def events_of(
        self, partner_id: PartnerId, after: int, limit: int, kinds: Sequence[str]
    ) -> tuple[Sequence[Announced], int | None]:
        page: list[Announced] = []
        looked_at, last = 0, after
        for row in self._work.raw.execute(self.EVENTS, (partner_id, after, STRETCH)):
            if len(page) == limit:
                return page, last
            looked_at, last = looked_at + 1, row[0]
            if row[3] in kinds:
                page.append(_announced(*row))
        return page, last if looked_at == STRETCH else None


def _announced(
    position: int, order_n: int, client_ref: str | None, _kind: str, *recorded: Any
) -> Announced:
    return Announced(position, client_ref, recorded_from(order_no(order_n), *recorded))
