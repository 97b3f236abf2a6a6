"""How each event changes an order. Never refuses: an event has happened."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, assert_never

from msgspec.structs import replace

from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.kernel.money import Money
from orderkeep.orders import events as e
from orderkeep.orders.order import (
    CancelRequest,
    Claim,
    Delivered,
    Hold,
    Order,
    Position,
    Price,
    PriceState,
    ReturnCase,
    Shipment,
    Stage,
    WorkOrderState,
)


def rebuild(history: Sequence[e.Recorded]) -> Order:
    """The order that these events make, from the first on.

    Raises:
        ValueError: there is no event, or the first does not begin an order.
    """
    order: Order | None = None
    for recorded in history:
        order = evolve(order, recorded)
    if order is None:
        raise ValueError("an order has at least one event")
    return order


def evolve(order: Order | None, recorded: e.Recorded) -> Order:
    """The order after one more event."""
    if order is None:
        return _begin(recorded)
    return replace(_change(order, recorded.event, recorded), version=recorded.seq)


def _begin(recorded: e.Recorded) -> Order:
    event = recorded.event
    if not isinstance(event, e.OrderDrafted | e.OrderSubmitted):
        raise ValueError(f"{e.kind_of(event)} cannot begin an order")  # noqa: TRY004  # A value.
    fresh = Order(
        no=recorded.order_no,
        channel=event.channel,
        partner_id=event.partner_id,
        client_ref=event.client_ref,
        version=recorded.seq,
        stage=Stage.INITIATED,
        stage_since=recorded.at,
        created_at=recorded.at,
    )
    return _submitted(fresh, event, recorded.at) if isinstance(event, e.OrderSubmitted) else fresh


def _submitted(order: Order, event: e.OrderSubmitted, at: datetime) -> Order:
    return _enter(
        order,
        Stage.SUBMITTED,
        at,
        client_ref=event.client_ref,
        submitted_at=at,
        body_sha256=event.body_sha256,
        positions=tuple(event.positions),
        promise_by=event.promise_by,
        promise_at=event.promise_at,
        origin=event.origin,
        priority=event.priority,
        home=event.home,
        price=Price(state=PriceState.QUEUED, version=1),
    )


def _change(order: Order, event: e.OrderEvent, recorded: e.Recorded) -> Order:  # noqa: C901, PLR0911, PLR0912, PLR0915  # One branch an event: a list, not a tangle.
    at = recorded.at
    match event:
        case e.OrderDrafted():
            return order
        case e.OrderSubmitted():
            return _submitted(order, event, at)
        case e.PositionsSet():
            stage = Stage.FILE_UPLOADED if event.complete else Stage.INITIATED
            return _enter(order, stage, at, positions=tuple(event.positions))
        case e.PricingStarted():
            return replace(order, price=replace(order.price, state=PriceState.RUNNING))
        case e.OrderPriced():
            return _priced(order, event, at)
        case e.PriceNeedsPerson():
            return _price(order, state=PriceState.MANUAL, reasons=tuple(event.reasons))
        case e.PricingFailed():
            return _price(order, state=PriceState.FAILED)
        case e.PriceExpired():
            return _price(order, state=PriceState.EXPIRED)
        case e.PriceQueued():
            return _queue_price(order, event.version, automatic=event.automatic)
        case e.PriceAccepted():
            return _price_accepted(order)
        case e.FileRejected():
            rejected = {**order.file_rejected, event.position: event.code}
            return replace(order, file_rejected=MappingProxyType(rejected))
        case e.FileReplaced():
            return _file_replaced(order, event)
        case e.PromiseChanged():
            return replace(order, promise_at=event.promise_at)
        case e.PriorityChanged():
            return replace(order, priority=event.priority)
        case e.OrderApproved():
            return _approved(order, event, at)
        case e.ApprovedElsewhere():
            return _approved_elsewhere(order, at)
        case e.OrderClaimed():
            return replace(order, claim=Claim(event.operator, at, event.until))
        case e.ClaimEnded():
            return replace(order, claim=None)
        case e.OrderReassigned():
            return replace(order, claim=Claim(event.operator, at, None))
        case e.WorkStarted():
            return _started(order, event, at)
        case e.HandedBack():
            return _handed_back(order, at)
        case e.WorkCompleted():
            return _enter(order, Stage.MANUFACTURING_COMPLETED, at)
        case e.ReworkOrdered():
            return _rework(order, event, at)
        case e.SentBackToPricing():
            return _sent_back(order, event, at)
        case e.PackingStarted():
            return _enter(order, Stage.PACKAGING, at)
        case e.OrderShipped():
            shipment = Shipment(event.tracking_no, event.carrier)
            return _enter(order, Stage.SHIPPED, at, shipment=shipment, claim=None)
        case e.OrderClosed():
            return _enter(order, Stage.CLOSED, at)
        case e.OrderCancelled():
            return _enter(
                order,
                Stage.CANCELLED,
                at,
                cancelled_because=event.reason,
                cancelled_by=str(recorded.cause.actor),
                cancel_request=None,
                claim=None,
                hold=None,
            )
        case e.CancelRequested():
            request = CancelRequest(event.reason, str(recorded.cause.actor), at)
            return replace(order, cancel_request=request)
        case e.CancelRefused():
            request = order.cancel_request or CancelRequest("", "", at)
            return replace(order, cancel_request=replace(request, refused=event.why))
        case e.CancelWithdrawn():
            return replace(order, cancel_request=None)
        case e.HoldPlaced():
            by = str(recorded.cause.actor)
            hold = Hold(event.reason, event.owner, event.until, at, event.stops_clock, by)
            return replace(order, hold=hold)
        case e.HoldExpired():
            return replace(order, hold=replace(order.hold, expired=True) if order.hold else None)
        case e.HoldLifted():
            return replace(order, hold=None, paused=order.paused + _stood_still(order, at))
        case e.ReturnOpened():
            return replace(order, return_case=ReturnCase("open", event.reason, at))
        case e.ReturnInspected():
            return _return(order, state="in_inspection")
        case e.ReturnResolved():
            return _return(
                order, state="resolved", outcome=event.outcome, replacement=event.replacement
            )
        case e.DeliveryChanged():
            return _delivered(order, event, at)
        case e.WordDiverged():
            return replace(order, diverged=event.said)
        case e.DivergenceSettled():
            settled = order.settled | ({order.diverged} if order.diverged else set())
            return replace(order, diverged=None, settled=settled)
        case e.RiskChanged():
            return replace(order, risk=event.risk)
        case e.NoteAdded():
            return order
        case _:
            assert_never(event)


def _enter(order: Order, stage: Stage, at: datetime, **changes: Any) -> Order:
    if stage is order.stage:
        return replace(order, **changes)
    return replace(order, stage=stage, stage_since=at, paused=timedelta(0), **changes)


def _stood_still(order: Order, at: datetime) -> timedelta:
    """How long the hold that ends stopped the clock of the present stage."""
    if order.hold is None or not order.hold.stops_clock:
        return timedelta(0)
    return max(at - max(order.hold.since, order.stage_since), timedelta(0))


def _price(order: Order, **changes: Any) -> Order:
    return replace(order, price=replace(order.price, **changes))


def _priced(order: Order, event: e.OrderPriced, at: datetime) -> Order:
    total = Money(Decimal(event.total), event.currency)
    order = _price(
        order,
        state=PriceState.READY,
        version=event.version,
        total=total,
        offered=_offered(order.price, total, consent_needed=event.consent_needed),
        lines=tuple(event.lines),
        book_version=event.book_version,
        valid_until=event.valid_until,
        by=event.by,
        reasons=(),
        consent_needed=event.consent_needed,
    )
    return _enter(order, Stage.PRICE_CALCULATED, at)


def _offered(price: Price, total: Money, *, consent_needed: bool) -> Money | None:
    """Measured from the last price alone, many small rises would need no consent at all."""
    if consent_needed:
        return price.offered
    if price.offered is None or price.offered.currency != total.currency:
        return total
    return min(total, price.offered)


def _price_accepted(order: Order) -> Order:
    total = order.price.total
    return _price(order, accepted=total, offered=total, consent_needed=False, renegotiated=False)


def _queue_price(order: Order, version: int, *, automatic: bool) -> Order:
    return _price(
        order,
        state=PriceState.QUEUED,
        version=version,
        reasons=(),
        consent_needed=False,
        automatic_repricings=order.price.automatic_repricings + automatic,
    )


def _file_replaced(order: Order, event: e.FileReplaced) -> Order:
    rejected = {at: code for at, code in order.file_rejected.items() if at != event.position}
    positions = tuple(
        _with_file(position, event) if position.position == event.position else position
        for position in order.positions
    )
    return replace(order, positions=positions, file_rejected=MappingProxyType(rejected))


def _with_file(position: Position, event: e.FileReplaced) -> Position:
    return Position(
        position=position.position,
        quantity=position.quantity,
        material=position.material,
        engraving=position.engraving,
        file_id=event.file_id,
        file_sha256=event.file_sha256,
        file_name=event.file_name,
    )


def _wanted(reference: WorkOrderRef, generation: int, at: datetime) -> WorkOrderState:
    return WorkOrderState(reference, generation, Delivered.PENDING, at)


def _approved(order: Order, event: e.OrderApproved, at: datetime) -> Order:
    """To be made; approved again after a recall, the order keeps its place in the queue."""
    work = order.work_order
    waiting = order.approved_at if order.stage is Stage.MANUFACTURING_APPROVED else None
    return _enter(
        order,
        Stage.MANUFACTURING_APPROVED,
        at,
        work_order=_wanted(event.reference, event.generation, at),
        earlier_work_orders=(*order.earlier_work_orders, *((work,) if work else ())),
        approved_at=waiting or at,
        claim=None,
    )


def _approved_elsewhere(order: Order, at: datetime) -> Order:
    """Nobody here is to make it: what stood in the way of our approval stands there no longer."""
    price = order.price
    if price.state is not PriceState.READY:
        price = replace(price, state=PriceState.NONE, reasons=())
    rejected: MappingProxyType[int, str] = MappingProxyType({})
    return _enter(
        order, Stage.MANUFACTURING_APPROVED, at, price=price, file_rejected=rejected, approved_at=at
    )


def _started(order: Order, event: e.WorkStarted, at: datetime) -> Order:
    claim = _kept_claim(order, event.operator, at)
    work_order = _begun(order, begun=True)
    return _enter(order, Stage.MANUFACTURING_STARTED, at, claim=claim, work_order=work_order)


def _handed_back(order: Order, at: datetime) -> Order:
    request = order.cancel_request  # Unmade again, the MES may give it back after all.
    return _enter(
        order,
        Stage.MANUFACTURING_APPROVED,
        at,
        claim=None,
        work_order=_begun(order, begun=False),
        cancel_request=replace(request, refused=None) if request else None,
    )


def _begun(order: Order, *, begun: bool) -> WorkOrderState | None:
    return replace(order.work_order, begun=begun) if order.work_order else None


def _sent_back(order: Order, event: e.SentBackToPricing, at: datetime) -> Order:
    started = order.stage is Stage.MANUFACTURING_STARTED
    order = _enter(
        order,
        Stage.PRICE_CALCULATED,
        at,
        claim=None,
        work_order=None,
        earlier_work_orders=_gone(order, at, event.reason),
    )
    order = _queue_price(order, event.version, automatic=False)
    return _price(order, renegotiated=started or order.price.renegotiated)


def _kept_claim(order: Order, operator: str | None, at: datetime) -> Claim | None:
    """A started order never leaves its operator by a timer."""
    holder = operator or (order.claim.operator if order.claim else None)
    return Claim(holder, order.claim.since if order.claim else at, None) if holder else None


def _gone(order: Order, at: datetime, detail: str) -> tuple[WorkOrderState, ...]:
    if order.work_order is None:
        return order.earlier_work_orders
    gone = replace(order.work_order, delivered=Delivered.RECALLED, since=at, detail=detail)
    return (*order.earlier_work_orders, gone)


def _rework(order: Order, event: e.ReworkOrdered, at: datetime) -> Order:
    return _enter(
        order,
        Stage.MANUFACTURING_STARTED,
        at,
        rework_no=event.rework_no,
        work_order=_wanted(event.reference, event.generation, at),
        earlier_work_orders=_gone(order, at, event.reason),
    )


def _return(order: Order, **changes: Any) -> Order:
    if order.return_case is None:
        return order
    return replace(order, return_case=replace(order.return_case, **changes))


def _delivered(order: Order, event: e.DeliveryChanged, at: datetime) -> Order:
    work = order.work_order
    if work is None or work.reference != event.reference:
        return order
    mes_id = event.mes_id or work.mes_id
    changed = replace(work, delivered=event.state, since=at, detail=event.detail, mes_id=mes_id)
    return replace(order, work_order=changed)
