"""Everything about a legacy MES that differs from house to house."""

from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from orderkeep.bridge.ports import RECALLED, Capabilities

MODEST = Capabilities(
    idempotency="none",
    lookup=True,
    recall=False,
    listing=False,
    visibility_lag=timedelta(seconds=10),
)
"""What we assume of a MES nobody has described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MesHttpSettings:
    """Where a MES is, what it calls things and what it can be relied on for.

    ``total_timeout`` ends every call. ``pool_timeout`` bounds the wait for a free connection; both
    it and ``connect_timeout`` have to end sooner, so that a call that never left is known as such.
    ``idle_connection``: connections unused for longer are closed by us, before the MES does so
    under a request. ``auth_header`` is a name and its value, such as ``Authorization``.
    ``recalled_statuses`` are the MES's own words for a job that will not be made.
    """

    base_url: str
    capabilities: Capabilities = MODEST
    submit_path: str = "/api/orders"
    lookup_path: str = "/api/orders"
    list_path: str = "/api/orders"
    recall_path: str = "/api/orders/{id}/recall"
    changes_path: str = "/api/changes"
    lookup_parameter: str = "ref"
    cursor_parameter: str = "cursor"
    changes_parameter: str = "after"
    idempotency_header: str = "Idempotency-Key"
    reference_field: str = "external_id"
    order_no_field: str = "order_no"
    positions_field: str = "positions"
    promise_field: str = "promise_at"
    body_sha256_field: str = "body_sha256"
    id_field: str = "id"
    ref_field: str = "ref"
    status_field: str = "status"
    items_field: str = "items"
    next_field: str = "next"
    accepted_statuses: frozenset[int] = frozenset({200, 201})
    recalled_statuses: frozenset[str] = RECALLED
    auth_header: tuple[str, str] | None = field(default=None, repr=False)
    connect_timeout: timedelta = timedelta(seconds=3)
    pool_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=30)
    total_timeout: timedelta = timedelta(seconds=60)
    max_connections: int = 32
    idle_connection: timedelta = timedelta(seconds=4)
    answer_cap_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("the MES's address has to begin with http:// or https:// and a host")
        if max(self.connect_timeout, self.pool_timeout) >= self.total_timeout:
            raise ValueError("the whole call has to last longer than connecting or waiting to")
        if "{id}" not in self.recall_path:
            raise ValueError("the recall path has to contain {id}")
