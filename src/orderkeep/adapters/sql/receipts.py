"""Receipts given, found again by the key or by the client's own number."""

import sqlite3
from typing import Any, Protocol

from orderkeep.adapters.sql.instants import from_micros
from orderkeep.intake.ports import Receipt
from orderkeep.kernel.ids import PartnerId, order_no

_BY_KEY = (
    "SELECT k.order_n, o.client_ref, o.created_at, k.body_sha256 FROM idempotency k"
    " JOIN orders o ON o.n = k.order_n WHERE k.partner_id = ? AND k.key = ?"
)
_BY_REF = (
    "SELECT n, client_ref, created_at, body_sha256 FROM orders"
    " WHERE partner_id = ? AND client_ref = ? AND body_sha256 IS NOT NULL"
)


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...


class SqlReceipts:
    """Implements ``intake.ports.ReceiptStore``."""

    def __init__(self, work: _Work) -> None:
        self._raw = work.raw

    def find(self, partner_id: PartnerId, key: str, client_ref: str) -> Receipt | None:
        row: tuple[Any, ...] | None = (
            self._raw.execute(_BY_KEY, (partner_id, key)).fetchone()
            or self._raw.execute(_BY_REF, (partner_id, client_ref)).fetchone()
        )
        if row is None:
            return None
        n, ref, accepted_at, body_sha256 = row
        return Receipt(order_no(n), ref, from_micros(accepted_at), body_sha256)
