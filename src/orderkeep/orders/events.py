"""What can happen to an order. Events are facts: past tense, immutable, readable for ever.

A kind never changes its meaning; a new shape is a new ``schema_version`` with its own sample under
``tests/fixtures/events``. Personal data is not in events: it stays with the submission.
"""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from orderkeep.kernel.ids import FileId, OrderNo, PartnerId, WorkOrderRef
from orderkeep.orders.home import Home
from orderkeep.orders.order import Delivered, ManualReason, Position, PriceLine, Risk, Stage

SCHEMA_VERSION = 1


class Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """Base of all events."""


class OrderDrafted(Event, frozen=True, tag="order.drafted"):
    """A draft was opened by hand."""

    channel: str
    partner_id: PartnerId | None = None
    client_ref: str | None = None


class PositionsSet(Event, frozen=True, tag="order.positions_set"):
    """The draft's lines were written; ``complete`` when each has its file or sku."""

    positions: list[Position]
    complete: bool


class OrderSubmitted(Event, frozen=True, tag="order.submitted"):
    """The order was accepted and its receipt given."""

    channel: str
    positions: list[Position]
    body_sha256: str
    promise_at: datetime
    partner_id: PartnerId | None = None
    client_ref: str | None = None
    promise_by: datetime | None = None
    origin: OrderNo | None = None
    priority: int = 5
    home: Home = Home.MASTERED


class PricingStarted(Event, frozen=True, tag="price.started"):
    """A worker took the question of this version."""

    version: int


class OrderPriced(Event, frozen=True, tag="price.calculated"):
    """Every position has its price."""

    version: int
    currency: str
    total: str
    lines: list[PriceLine]
    valid_until: datetime
    by: str
    consent_needed: bool = False
    book_version: str | None = None


class PriceNeedsPerson(Event, frozen=True, tag="price.manual"):
    """The engine cannot price it; a seller enters the price."""

    version: int
    reasons: list[ManualReason]


class PricingFailed(Event, frozen=True, tag="price.failed"):
    """The engine itself failed; a seller enters the price or asks again."""

    version: int
    reason: str


class PriceExpired(Event, frozen=True, tag="price.expired"):
    """Nobody approved in time."""

    version: int


class PriceQueued(Event, frozen=True, tag="price.queued"):
    """The price is asked anew; the old one stays in the history."""

    version: int
    reason: str
    automatic: bool = False


class PriceAccepted(Event, frozen=True, tag="price.accepted"):
    """The client agreed to this version."""

    version: int


class FileRejected(Event, frozen=True, tag="file.rejected"):
    """A deep check refused a model file; the client is asked for another."""

    position: int
    code: str
    message: str


class FileReplaced(Event, frozen=True, tag="file.replaced"):
    """The client sent another file for a position."""

    position: int
    file_id: FileId
    file_sha256: str
    file_name: str | None = None


class PromiseChanged(Event, frozen=True, tag="promise.changed"):
    """A new date was promised."""

    promise_at: datetime
    reason: str


class PriorityChanged(Event, frozen=True, tag="priority.changed"):
    """The order was moved up or down."""

    priority: int
    reason: str


class OrderApproved(Event, frozen=True, tag="order.approved"):
    """To be made, under this reference at the MES; ``rule`` when no person decided."""

    reference: WorkOrderRef
    generation: int
    rule: str | None = None


class ApprovedElsewhere(Event, frozen=True, tag="order.approved_elsewhere"):
    """To be made by the old road, as its home says; ``inferred`` when a later word implied it."""

    inferred: bool = False


class OrderClaimed(Event, frozen=True, tag="order.claimed"):
    """An operator took the order, until an instant or until it is started."""

    operator: str
    until: datetime


class ClaimEnded(Event, frozen=True, tag="order.claim_ended"):
    """The claim is gone: given back, expired or taken away."""

    operator: str
    reason: str


class OrderReassigned(Event, frozen=True, tag="order.reassigned"):
    """The head gave a started order to another operator."""

    operator: str
    reason: str


class WorkStarted(Event, frozen=True, tag="order.started"):
    """An operator started making it; ``inferred`` when a later word implied it."""

    operator: str | None = None
    inferred: bool = False


class HandedBack(Event, frozen=True, tag="order.handed_back"):
    """Started, and given back unmade."""

    reason: str
    operator: str | None = None


class WorkCompleted(Event, frozen=True, tag="order.completed"):
    """Made."""

    operator: str | None = None
    inferred: bool = False


class ReworkOrdered(Event, frozen=True, tag="order.rework"):
    """Not good enough: made again under a new reference, the old piece proven scrapped."""

    reason: str
    rework_no: int
    reference: WorkOrderRef
    generation: int
    proof: str = ""
    """How it is known that the old piece is scrapped."""


class SentBackToPricing(Event, frozen=True, tag="order.cannot_be_made"):
    """Cannot be made as priced; the work order is proven gone, the price is asked anew."""

    reason: str
    version: int
    proof: str = ""
    """How it is known that nothing is being made."""


class PackingStarted(Event, frozen=True, tag="order.packaging"):
    """Being packed."""

    operator: str | None = None
    inferred: bool = False


class OrderShipped(Event, frozen=True, tag="order.shipped"):
    """Handed to the carrier."""

    tracking_no: str
    carrier: str | None = None
    inferred: bool = False


class OrderClosed(Event, frozen=True, tag="order.closed"):
    """Delivered, and no case is open."""

    why: str


class OrderCancelled(Event, frozen=True, tag="order.cancelled"):
    """Will not be made, or was scrapped."""

    reason: str
    made: bool = False
    """Work had been done before."""


class CancelRequested(Event, frozen=True, tag="order.cancel_requested"):
    """Wanted cancelled after the intent to send: CANCELLED follows proof."""

    reason: str


class CancelRefused(Event, frozen=True, tag="order.cancel_refused"):
    """The MES did not give it back; the seller decides."""

    why: str


class CancelWithdrawn(Event, frozen=True, tag="order.cancel_withdrawn"):
    """It goes on: the seller decided so, or it was shipped before it could be cancelled."""

    reason: str


class HoldPlaced(Event, frozen=True, tag="order.held"):
    """The order rests."""

    reason: str
    owner: str
    until: datetime
    stops_clock: bool


class HoldExpired(Event, frozen=True, tag="order.hold_expired"):
    """Held past its end; the owner is late."""


class HoldLifted(Event, frozen=True, tag="order.resumed"):
    """The order goes on."""

    reason: str


class ReturnOpened(Event, frozen=True, tag="return.opened"):
    """The client wants to give it back."""

    reason: str


class ReturnInspected(Event, frozen=True, tag="return.in_inspection"):
    """The piece is here and being looked at."""


class ReturnResolved(Event, frozen=True, tag="return.resolved"):
    """Settled: return, repair, replace, refund or reject."""

    outcome: str
    replacement: OrderNo | None = None


class DeliveryChanged(Event, frozen=True, tag="delivery.changed"):
    """A work order came a step further on its way to a foreign system."""

    system: str
    reference: WorkOrderRef
    state: Delivered
    detail: str | None = None
    mes_id: str | None = None


class WordDiverged(Event, frozen=True, tag="delivery.diverged"):
    """A foreign system said what cannot be; stored, shown, never dropped."""

    system: str
    reference: str
    said: str
    expected: str


class DivergenceSettled(Event, frozen=True, tag="delivery.settled"):
    """A person looked at it and decided; or ``gone``: the MES itself has ended it since."""

    decision: str


class RiskChanged(Event, frozen=True, tag="risk.changed"):
    """The promise is at risk, late, or safe again."""

    risk: Risk


class NoteAdded(Event, frozen=True, tag="note.added"):
    """A person wrote something down."""

    text: str


OrderEvent: TypeAlias = (
    OrderDrafted
    | PositionsSet
    | OrderSubmitted
    | PricingStarted
    | OrderPriced
    | PriceNeedsPerson
    | PricingFailed
    | PriceExpired
    | PriceQueued
    | PriceAccepted
    | FileRejected
    | FileReplaced
    | PromiseChanged
    | PriorityChanged
    | OrderApproved
    | ApprovedElsewhere
    | OrderClaimed
    | ClaimEnded
    | OrderReassigned
    | WorkStarted
    | HandedBack
    | WorkCompleted
    | ReworkOrdered
    | SentBackToPricing
    | PackingStarted
    | OrderShipped
    | OrderClosed
    | OrderCancelled
    | CancelRequested
    | CancelRefused
    | CancelWithdrawn
    | HoldPlaced
    | HoldExpired
    | HoldLifted
    | ReturnOpened
    | ReturnInspected
    | ReturnResolved
    | DeliveryChanged
    | WordDiverged
    | DivergenceSettled
    | RiskChanged
    | NoteAdded
)


class ActorKind(StrEnum):
    """Who can cause an event."""

    PARTNER = "partner"
    PERSON = "person"
    RULE = "rule"
    ENGINE = "engine"
    MES = "mes"
    CRM = "crm"
    BRIDGE = "bridge"
    WATCH = "watch"


class Actor(msgspec.Struct, frozen=True):
    """Who did it; ``role`` is set for people."""

    kind: ActorKind
    id: str
    role: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why and by whom: the same for all events of one decision."""

    actor: Actor
    command: str
    """The command's name, or the envelope's id that carried it."""
    source: str
    """The system it came from: ``door``, ``office``, ``quoting``, ``floor``, ``mes``, ``watch``."""
    trace_id: str


class Recorded(msgspec.Struct, frozen=True):
    """An event in its place: the seq-th of its order; ``stage`` is the stage it led to."""

    order_no: OrderNo
    seq: int
    at: datetime
    stage: Stage
    cause: Cause
    event: OrderEvent


_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder: msgspec.json.Decoder[OrderEvent] = msgspec.json.Decoder(OrderEvent)


def kind_of(event: OrderEvent) -> str:
    """The event's stable name, such as ``order.submitted``."""
    return str(type(event).__struct_config__.tag)


def encode(event: OrderEvent) -> bytes:
    """The stored form: JSON with ``kind``."""
    return _encoder.encode(event)


def decode(stored: bytes | str) -> OrderEvent:
    """Read a stored event of any schema version."""
    return _decoder.decode(stored)
