"""What an order is: one stage, and regions beside it that old systems never meet."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from orderkeep.kernel.ids import FileId, OrderNo, PartnerId, WorkOrderRef
from orderkeep.kernel.money import Money
from orderkeep.orders.home import Home


class Stage(StrEnum):
    """Where the order is: the maker's own words, on the wire and in the code."""

    INITIATED = "INITIATED"
    FILE_UPLOADED = "FILE_UPLOADED"
    SUBMITTED = "SUBMITTED"
    PRICE_CALCULATED = "PRICE_CALCULATED"
    MANUFACTURING_APPROVED = "MANUFACTURING_APPROVED"
    MANUFACTURING_STARTED = "MANUFACTURING_STARTED"
    MANUFACTURING_COMPLETED = "MANUFACTURING_COMPLETED"
    PACKAGING = "PACKAGING"
    SHIPPED = "SHIPPED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


DRAFT = frozenset({Stage.INITIATED, Stage.FILE_UPLOADED})
MAKING = frozenset(
    {Stage.MANUFACTURING_STARTED, Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING},
)
FINAL = frozenset({Stage.CLOSED, Stage.CANCELLED})


class PriceState(StrEnum):
    """The price region."""

    NONE = "none"
    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    MANUAL = "manual"
    EXPIRED = "expired"


class Delivered(StrEnum):
    """How far a work order's way to a foreign system has come."""

    PENDING = "pending"
    SENDING = "sending"
    CONFIRMED = "confirmed"
    RECEIVED = "received"
    APPLIED = "applied"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"
    DIVERGED = "diverged"
    DEAD = "dead"
    RECALLED = "recalled"


ARRIVED = frozenset({Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED})
NOT_THERE = frozenset({Delivered.RECALLED, Delivered.REJECTED})
STUCK = frozenset(
    {
        Delivered.REJECTED,
        Delivered.UNCERTAIN,
        Delivered.DIVERGED,
        Delivered.DEAD,
        Delivered.RECALLED,
    },
)
"""Where a work order does not come further, or may not, without a person."""


class Risk(StrEnum):
    """Whether the promise holds."""

    OK = "ok"
    AT_RISK = "at_risk"
    LATE = "late"


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an order: a model file in a material, or a ready-made piece (``sku``)."""

    position: int
    quantity: int
    material: str | None = None
    file_id: FileId | None = None
    file_sha256: str | None = None
    file_name: str | None = None
    sku: str | None = None
    engraving: str | None = None


class PriceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price of one position; ``lines`` are the price book's own lines, kept as written."""

    position: int
    unit: str
    total: str
    lines: list[dict[str, Any]] = []
    mass_g: str | None = None
    volume_mm3: str | None = None


class ManualReason(msgspec.Struct, frozen=True):
    """Why a position has no price of the engine's."""

    position: int
    code: str
    message: str


class Price(msgspec.Struct, frozen=True):
    """The price region; ``version`` grows with every question, the answer names it."""

    state: PriceState = PriceState.NONE
    version: int = 0
    total: Money | None = None
    lines: tuple[PriceLine, ...] = ()
    book_version: str | None = None
    valid_until: datetime | None = None
    by: str | None = None
    reasons: tuple[ManualReason, ...] = ()
    accepted: Money | None = None
    """What the client last agreed to."""
    offered: Money | None = None
    """The lowest price shown since then that needed no consent: where a rise is measured from."""
    consent_needed: bool = False
    """A new price is above what the client agreed to or saw by more than the policy allows."""
    renegotiated: bool = False
    """It could not be made as priced: whatever the next price is, the client has to agree."""
    automatic_repricings: int = 0


class Hold(msgspec.Struct, frozen=True):
    """Why the order rests, who owns that, and until when; the clock stops only for the client."""

    reason: str
    owner: str
    until: datetime
    since: datetime
    stops_clock: bool
    by: str
    expired: bool = False


class Claim(msgspec.Struct, frozen=True):
    """Which operator has taken the order; ``until`` ends it unless work has started."""

    operator: str
    since: datetime
    until: datetime | None


class WorkOrderState(msgspec.Struct, frozen=True):
    """The current work order and how far it has come."""

    reference: WorkOrderRef
    generation: int
    delivered: Delivered
    since: datetime
    detail: str | None = None
    mes_id: str | None = None
    begun: bool = False
    """An operator has started this one; after rework the stage alone does not tell."""


class CancelRequest(msgspec.Struct, frozen=True):
    """A cancellation that waits for proof that nothing is being made."""

    reason: str
    by: str
    since: datetime
    refused: str | None = None
    """Why the MES would not give it back; the seller decides."""


class ReturnCase(msgspec.Struct, frozen=True):
    """A return: ``open``, ``in_inspection`` or ``resolved``."""

    state: str
    reason: str
    since: datetime
    outcome: str | None = None
    replacement: OrderNo | None = None


def return_is_open(order: "Order") -> bool:
    """Whether a return waits for its outcome."""
    return order.return_case is not None and order.return_case.state != "resolved"


class Shipment(msgspec.Struct, frozen=True):
    """How the parcel travels."""

    tracking_no: str
    carrier: str | None = None


class Order(msgspec.Struct, frozen=True):
    """An order as its events have made it; ``version`` is how many there are."""

    no: OrderNo
    channel: str
    partner_id: PartnerId | None
    client_ref: str | None
    version: int
    stage: Stage
    stage_since: datetime
    created_at: datetime
    submitted_at: datetime | None = None
    body_sha256: str | None = None
    positions: tuple[Position, ...] = ()
    file_rejected: Mapping[int, str] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    promise_by: datetime | None = None
    """What the client asked for."""
    promise_at: datetime | None = None
    """What we promised."""
    price: Price = Price()
    hold: Hold | None = None
    claim: Claim | None = None
    work_order: WorkOrderState | None = None
    earlier_work_orders: tuple[WorkOrderState, ...] = ()
    cancel_request: CancelRequest | None = None
    cancelled_because: str | None = None
    cancelled_by: str | None = None
    return_case: ReturnCase | None = None
    rework_no: int = 0
    shipment: Shipment | None = None
    risk: Risk = Risk.OK
    priority: int = 5
    """1 is most urgent, 9 least."""
    diverged: str | None = None
    """What a foreign system last said that cannot be; None when nothing is open."""
    settled: frozenset[str] = frozenset()
    """What a person has looked at already: said again, it is no news."""
    approved_at: datetime | None = None
    """Since when it waits for an operator; handed back, it keeps its place in the queue."""
    paused: timedelta = timedelta(0)
    """How long the stage's clock has stood still for the client, in holds that are over."""
    origin: OrderNo | None = None
    """The order this one replaces."""
    home: Home = Home.MASTERED


def next_generation(order: Order) -> int:
    """The number of the order's next work order: every reference is used once."""
    return len(order.earlier_work_orders) + (order.work_order is not None) + 1


def work_was_done(order: Order) -> bool:
    """Whether anything was made for the order, so that cancelling it scraps something."""
    return order.stage in MAKING or order.rework_no > 0
