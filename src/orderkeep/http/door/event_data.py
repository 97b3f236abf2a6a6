"""What partners are told of each type of event: the promise made to them, one shape a type.

A shape never changes; what has to be said differently is a new type (``….v2``) beside the old one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from orderkeep.http.door.wire import MoneyView
from orderkeep.orders.order import ManualReason

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Facts(msgspec.Struct, frozen=True):
    """What is special to one type of event."""


class Nothing(Facts, frozen=True):
    """No facts of its own: the type and the stage say it all."""


class Submitted(Facts, frozen=True):
    """Accepted; the hash is that of the body as it was signed for."""

    promise_at: Instant
    body_sha256: str


class ModelRejected(Facts, frozen=True):
    """A model file cannot be made; send another."""

    position: int
    code: str
    message: str


class Priced(Facts, frozen=True):
    """The price of a version of the order, and until when it holds."""

    version: int
    total: MoneyView
    valid_until: Instant
    consent_needed: bool


class PriceExpired(Facts, frozen=True):
    """The price of this version holds no longer."""

    version: int


class PriceManual(Facts, frozen=True, omit_defaults=True):
    """A person will name the price; ``reasons`` when the file is why."""

    version: int
    reasons: list[ManualReason] | None = None


class Shipped(Facts, frozen=True):
    """Handed to the carrier."""

    tracking_no: str
    carrier: str | None


class Cancelled(Facts, frozen=True):
    """Will not be made."""

    reason: str


class Held(Facts, frozen=True, omit_defaults=True):
    """Rests until an instant; ``yours`` when it waits for you, and then for what."""

    until: Instant
    yours: bool
    reason: str | None = None


class PromiseChanged(Facts, frozen=True):
    """The date that is promised now."""

    promise_at: Instant


class ReturnResolved(Facts, frozen=True):
    """How a return ended; ``replacement`` is the order made instead."""

    outcome: str
    replacement: str | None


class Announcement(msgspec.Struct, frozen=True):
    """The data of a public CloudEvent; ``sequence`` counts what happened to this order."""

    order_no: str
    client_ref: str | None
    sequence: int
    stage: str
    data_version: int
    facts: dict[str, Any]


FACTS: Mapping[str, type[Facts]] = {
    "order.submitted.v1": Submitted,
    "order.model_rejected.v1": ModelRejected,
    "order.priced.v1": Priced,
    "order.price_expired.v1": PriceExpired,
    "order.price_manual.v1": PriceManual,
    "order.approved.v1": Nothing,
    "order.production_started.v1": Nothing,
    "order.production_completed.v1": Nothing,
    "order.packaged.v1": Nothing,
    "order.shipped.v1": Shipped,
    "order.closed.v1": Nothing,
    "order.cancelled.v1": Cancelled,
    "order.held.v1": Held,
    "order.resumed.v1": Nothing,
    "order.late.v1": Nothing,
    "order.promise_changed.v1": PromiseChanged,
    "order.return_opened.v1": Nothing,
    "order.return_resolved.v1": ReturnResolved,
}
"""The shape of ``facts`` by public type."""
