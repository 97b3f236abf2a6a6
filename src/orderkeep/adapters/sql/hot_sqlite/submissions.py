"""The acknowledged bodies, byte for byte."""

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.instants import from_micros
from orderkeep.intake.drafts import WrittenDraft
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.ports import OrderNotFound

_KEEP = "INSERT INTO submissions (order_n, body) VALUES (?, ?)"
_PUT = (
    "INSERT INTO submissions (order_n, body) VALUES (?, ?)"
    " ON CONFLICT (order_n) DO UPDATE SET body = excluded.body"
)
_OWN = (
    " FROM orders o"
    " JOIN events e ON e.order_n = o.n AND e.seq = 1"
    " JOIN submissions s ON s.order_n = o.n"
    " WHERE o.stage IN ('INITIATED', 'FILE_UPLOADED')"
    " AND e.actor_kind = 'person' AND e.actor_id = ?"
)
_WRITTEN = "SELECT o.n, o.version, s.body, o.changed_at" + _OWN
_DRAFTS = _WRITTEN + " AND o.n < ? ORDER BY o.n DESC LIMIT ?"
_DRAFT = _WRITTEN + " AND o.n = ?"
_COUNT = "SELECT count(*)" + _OWN
_BEYOND = 2**62
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

    def drafts_of(
        self, login: str, limit: int, before: OrderNo | None = None
    ) -> list[WrittenDraft]:
        """What a person has begun and neither sent nor thrown away, the newest first."""
        below = order_n(before) if before else _BEYOND
        return [_draft(*row) for row in self._raw.execute(_DRAFTS, (login, below, limit))]

    def count_drafts_of(self, login: str) -> int:
        """How many of them there are."""
        return int(self._raw.execute(_COUNT, (login,)).fetchone()[0])

    def draft_of(self, login: str, no: OrderNo) -> WrittenDraft | None:
        """The one of this number; None when there is none of theirs."""
        row = self._raw.execute(_DRAFT, (login, order_n(no))).fetchone()
        return None if row is None else _draft(*row)

    def body(self, no: OrderNo) -> bytes:
        """The canonical body of an order.

        Raises:
            OrderNotFound: nothing was submitted under this number.
        """
        row = self._raw.execute(_BODY, (order_n(no),)).fetchone()
        if row is None:
            raise OrderNotFound(f"{no} has no submission")
        return bytes(row[0])


def _draft(n: int, version: int, body: bytes, changed_at: int) -> WrittenDraft:
    return WrittenDraft(order_no(n), version, bytes(body), from_micros(changed_at))
