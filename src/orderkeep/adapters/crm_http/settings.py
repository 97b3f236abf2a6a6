"""Everything about a CRM that differs from house to house."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from orderkeep.adapters.far_http.settings import FarHttpSettings
from orderkeep.bridge.crm import CrmCapabilities

NO_SUCH = frozenset({404})
MODEST = CrmCapabilities()
"""What we assume of a CRM nobody has described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmHttpSettings(FarHttpSettings):
    """Where a CRM is, what it calls things and what it can be relied on for.

    ``{order_no}`` in a path is our number. ``stages`` are the CRM's words for our stages and
    ``reasons`` for why an order was cancelled, where they differ.
    """

    who: ClassVar[str] = "CRM"

    capabilities: CrmCapabilities = MODEST
    tell_method: str = "PUT"
    tell_path: str = "/api/orders/{order_no}"
    lookup_path: str = "/api/orders/{order_no}"
    commands_path: str = "/api/commands"
    commands_parameter: str = "after"
    idempotency_header: str = "Idempotency-Key"
    order_no_field: str = "order_no"
    event_id_field: str = "event_id"
    event_field: str = "event"
    version_field: str = "version"
    stage_field: str = "stage"
    at_field: str = "at"
    id_field: str = "id"
    items_field: str = "items"
    next_field: str = "next"
    command_field: str = "command"
    command_id_field: str = "id"
    reason_field: str = "reason"
    stages: Mapping[str, str] = field(default_factory=lambda: {"CANCELLED": "CLOSED"})
    reasons: Mapping[str, str] = field(default_factory=dict)
    other_reason: str = "other"
    accepted_statuses: frozenset[int] = frozenset({200, 201, 202})
    read_timeout: timedelta = timedelta(seconds=15)
    total_timeout: timedelta = timedelta(seconds=30)
    max_connections: int = 16

    def __post_init__(self) -> None:
        FarHttpSettings.__post_init__(self)
        if "{order_no}" not in self.tell_path or "{order_no}" not in self.lookup_path:
            raise ValueError("the paths to an order have to contain {order_no}")
