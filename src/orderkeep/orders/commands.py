"""What can be asked of an order. A command may be refused; what it causes are events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from orderkeep.kernel.ids import FileId, OrderNo, WorkOrderRef
from orderkeep.kernel.money import Money
from orderkeep.orders.order import Delivered, ManualReason, Position, PriceLine


@dataclass(frozen=True, slots=True)
class SetPositions:
    """Write a draft's lines; ``complete`` when each has its file or sku."""

    positions: Sequence[Position]
    complete: bool


@dataclass(frozen=True, slots=True)
class SubmitDraft:
    """Turn a draft into an order; its canonical body is kept in the same unit of work."""

    positions: Sequence[Position]
    body_sha256: str
    promise_at: datetime
    promise_by: datetime | None = None
    client_ref: str | None = None


@dataclass(frozen=True, slots=True)
class StartPricing:
    """A worker takes the question of this version."""

    version: int


@dataclass(frozen=True, slots=True)
class RecordPrice:
    """The engine's answer to the question of this version."""

    version: int
    total: Money
    lines: Sequence[PriceLine]
    book_version: str


@dataclass(frozen=True, slots=True)
class RecordManual:
    """The engine cannot price it."""

    version: int
    reasons: Sequence[ManualReason]


@dataclass(frozen=True, slots=True)
class RecordPricingFailure:
    """The engine failed, more than once."""

    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class EnterPrice:
    """A seller names the price."""

    total: Money
    reason: str


@dataclass(frozen=True, slots=True)
class Reprice:
    """Ask for the price anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class AcceptPrice:
    """The client agrees; ``version`` guards against agreeing to another price than was read."""

    version: int | None = None


@dataclass(frozen=True, slots=True)
class RejectFile:
    """A model file will not do; the client is asked for another until an instant."""

    position: int
    code: str
    message: str
    until: datetime


@dataclass(frozen=True, slots=True)
class ReplaceFile:
    """Another file for a position."""

    position: int
    file_id: FileId
    file_sha256: str
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class ChangePromise:
    """Promise another date."""

    promise_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ChangePriority:
    """1 is most urgent, 9 least."""

    priority: int
    reason: str


@dataclass(frozen=True, slots=True)
class ApproveOrder:
    """Have it made; ``rule`` names the rule when no person decides."""

    rule: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimOrder:
    """An operator takes it."""

    operator: str


@dataclass(frozen=True, slots=True)
class ReleaseClaim:
    """Give an order back that was taken and not started."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReassignOrder:
    """The head gives it to another operator."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordMesWord:
    """What the MES says of a work order.

    ``word``: ``accepted started completed packaging shipped handed_back scrapped recalled``, or
    whatever else it said. ``purpose`` goes with ``scrapped``: ``rework`` or ``cannot_be_made``.
    """

    system: str
    reference: str
    word: str
    operator: str | None = None
    reason: str | None = None
    purpose: str | None = None
    tracking_no: str | None = None
    carrier: str | None = None
    mes_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordStrangeWord:
    """A foreign system wanted, or said, what cannot be; ``reference`` is its name for the order."""

    system: str
    reference: str
    word: str


@dataclass(frozen=True, slots=True)
class RecordHomeWord:
    """What the home of an order says of it: one of ``home_words.WORDS``; ``system`` names it."""

    system: str
    word: str
    tracking_no: str | None = None
    carrier: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    """A work order came a step further on its way."""

    system: str
    reference: WorkOrderRef
    state: Delivered
    detail: str | None = None
    mes_id: str | None = None


@dataclass(frozen=True, slots=True)
class OrderRework:
    """Make it again; ``proof`` says how it is known that the old piece is scrapped."""

    reason: str
    proof: str


@dataclass(frozen=True, slots=True)
class SendBackToPricing:
    """Cannot be made as priced; ``proof`` says how it is known that nothing is being made."""

    reason: str
    proof: str


@dataclass(frozen=True, slots=True)
class CloseOrder:
    """The client has it."""

    why: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Do not make it."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordRecallRefused:
    """The MES does not give the work order back."""

    reference: WorkOrderRef
    why: str


@dataclass(frozen=True, slots=True)
class CancelAnyway:
    """Cancel although the MES did not give it back, or although work had begun."""

    reason: str


@dataclass(frozen=True, slots=True)
class WithdrawCancel:
    """Go on after all."""

    reason: str


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Let it rest; the clock stops only when ``owner`` is ``client``."""

    reason: str
    owner: str
    until: datetime
    stops_clock: bool = False


@dataclass(frozen=True, slots=True)
class LiftHold:
    """Go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class OpenReturn:
    """The client wants to give it back."""

    reason: str


@dataclass(frozen=True, slots=True)
class InspectReturn:
    """The piece has arrived."""


@dataclass(frozen=True, slots=True)
class ResolveReturn:
    """``return repair replace refund`` or ``reject``; ``replace`` names a new order."""

    outcome: str
    replacement: OrderNo | None = None


@dataclass(frozen=True, slots=True)
class SettleDivergence:
    """A person has looked at what cannot be."""

    decision: str


@dataclass(frozen=True, slots=True)
class AddNote:
    """Write something down."""

    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Do whatever time has made due: the watch says it, as often as it likes."""


OrderCommand: TypeAlias = (
    SetPositions
    | SubmitDraft
    | StartPricing
    | RecordPrice
    | RecordManual
    | RecordPricingFailure
    | EnterPrice
    | Reprice
    | AcceptPrice
    | RejectFile
    | ReplaceFile
    | ChangePromise
    | ChangePriority
    | ApproveOrder
    | ClaimOrder
    | ReleaseClaim
    | ReassignOrder
    | RecordMesWord
    | RecordStrangeWord
    | RecordHomeWord
    | RecordDelivery
    | OrderRework
    | SendBackToPricing
    | CloseOrder
    | CancelOrder
    | RecordRecallRefused
    | CancelAnyway
    | WithdrawCancel
    | PlaceHold
    | LiftHold
    | OpenReturn
    | InspectReturn
    | ResolveReturn
    | SettleDivergence
    | AddNote
    | Tick
)
