"""Everything about a legacy MES that differs from house to house."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from orderkeep.adapters.far_http.settings import FarHttpSettings
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
class MesHttpSettings(FarHttpSettings):
    """Where a MES is, what it calls things and what it can be relied on for.

    ``recalled_statuses`` are the MES's own words for a job that will not be made.
    """

    who: ClassVar[str] = "MES"

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

    def __post_init__(self) -> None:
        FarHttpSettings.__post_init__(self)
        if "{id}" not in self.recall_path:
            raise ValueError("the recall path has to contain {id}")
