"""The published lifecycle as a map: which event may happen at which stage, and where it leads.

Written a second time on purpose, from the reference and not from ``orders.lifecycle``: a check
that asks the code it checks would agree with every mistake. Where an order may be is a set of
stages; where an event leads is one stage, or None when it stays.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from orderkeep.orders import events as e
from orderkeep.orders.order import DRAFT, FINAL, MAKING, Delivered, Order, PriceState, Stage


class Step(NamedTuple):
    """Where an event is possible, and the stage it leads to."""

    at: frozenset[Stage]
    to: Stage | None = None
    needs: Callable[[Order], str | None] = lambda _: None
    """Names what else is missing, in a few words; None when all is there."""


def _at(*stages: Stage) -> frozenset[Stage]:
    return frozenset(stages)


def _claimed(order: Order) -> str | None:
    return None if order.claim else "nobody has taken it"


def _unclaimed(order: Order) -> str | None:
    return f"{order.claim.operator} has taken it" if order.claim else None


def _held(order: Order) -> str | None:
    return None if order.hold else "it is not held"


def _free(order: Order) -> str | None:
    return "it is held already" if order.hold else None


def _cancel_asked(order: Order) -> str | None:
    return None if order.cancel_request else "nobody asked for a cancellation"


def _approvable(order: Order) -> str | None:
    if order.price.state is not PriceState.READY:
        return f"its price is {order.price.state}"
    if order.price.consent_needed:
        return "the client has not agreed to the price"
    if order.file_rejected:
        return "a model file is rejected"
    return _free(order)


def _closable(order: Order) -> str | None:
    return "a return is open" if _return_open(order) is None else None


def _return_open(order: Order) -> str | None:
    case = order.return_case
    return None if case is not None and case.state != "resolved" else "no return is open"


def _work_order(order: Order) -> str | None:
    return None if order.work_order else "it has no work order"


_ALL = frozenset(Stage)
_OPEN = _ALL - FINAL
_PRICING = _at(Stage.SUBMITTED, Stage.PRICE_CALCULATED)
_APPROVED = _at(Stage.MANUFACTURING_APPROVED)
_SHIPPED = _at(Stage.SHIPPED, Stage.CLOSED)
_CANCELLABLE = _OPEN - {Stage.SHIPPED}

STEPS: Mapping[type[e.Event], Step] = {
    e.PositionsSet: Step(DRAFT),
    e.OrderSubmitted: Step(DRAFT, Stage.SUBMITTED),
    e.PricingStarted: Step(_PRICING),
    e.OrderPriced: Step(_PRICING, Stage.PRICE_CALCULATED),
    e.PriceNeedsPerson: Step(_PRICING),
    e.PricingFailed: Step(_PRICING),
    e.PriceExpired: Step(_at(Stage.PRICE_CALCULATED)),
    e.PriceQueued: Step(_PRICING),
    e.PriceAccepted: Step(_at(Stage.PRICE_CALCULATED)),
    e.FileRejected: Step(_PRICING),
    e.FileReplaced: Step(_PRICING),
    e.PromiseChanged: Step(_OPEN),
    e.PriorityChanged: Step(_OPEN),
    e.OrderApproved: Step(_at(Stage.PRICE_CALCULATED), Stage.MANUFACTURING_APPROVED, _approvable),
    e.OrderClaimed: Step(_APPROVED, None, _unclaimed),
    e.ClaimEnded: Step(_APPROVED, None, _claimed),
    e.OrderReassigned: Step(MAKING),
    e.WorkStarted: Step(_APPROVED, Stage.MANUFACTURING_STARTED, _work_order),
    e.HandedBack: Step(_at(Stage.MANUFACTURING_STARTED), Stage.MANUFACTURING_APPROVED),
    e.WorkCompleted: Step(_at(Stage.MANUFACTURING_STARTED), Stage.MANUFACTURING_COMPLETED),
    e.ReworkOrdered: Step(
        _at(Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING), Stage.MANUFACTURING_STARTED
    ),
    e.SentBackToPricing: Step(
        _at(Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED), Stage.PRICE_CALCULATED
    ),
    e.PackingStarted: Step(_at(Stage.MANUFACTURING_COMPLETED), Stage.PACKAGING),
    e.OrderShipped: Step(_at(Stage.PACKAGING), Stage.SHIPPED),
    e.OrderClosed: Step(_at(Stage.SHIPPED), Stage.CLOSED, _closable),
    e.OrderCancelled: Step(_CANCELLABLE, Stage.CANCELLED),
    e.CancelRequested: Step(_CANCELLABLE),
    e.CancelRefused: Step(_ALL, None, _cancel_asked),
    e.CancelWithdrawn: Step(_ALL, None, _cancel_asked),
    e.HoldPlaced: Step(_OPEN, None, _free),
    e.HoldExpired: Step(_ALL, None, _held),
    e.HoldLifted: Step(_ALL, None, _held),
    e.ReturnOpened: Step(_SHIPPED),
    e.ReturnInspected: Step(_SHIPPED, None, _return_open),
    e.ReturnResolved: Step(_SHIPPED, None, _return_open),
    e.DeliveryChanged: Step(_ALL, None, _work_order),
    e.WordDiverged: Step(_ALL),
    e.DivergenceSettled: Step(_ALL),
    e.RiskChanged: Step(_ALL),
    e.NoteAdded: Step(_ALL),
}
"""Every event but the draft's first, which has nothing before it."""

_BEGINNINGS = (e.OrderDrafted, e.OrderSubmitted)
_SENDABLE = frozenset({Delivered.PENDING, Delivered.UNCERTAIN})


def illegal(before: Order | None, event: e.OrderEvent) -> str | None:
    """Why an event cannot follow, in a few words; None when it can."""
    if before is None:
        return None if isinstance(event, _BEGINNINGS) else "nothing came before it"
    step = STEPS.get(type(event))
    if step is None:
        return "an order begins once"
    if before.stage not in step.at:
        return f"the order was {before.stage}"
    if isinstance(event, e.PositionsSet):
        return None
    return step.needs(before) or _wrong_work_order(before, event)


def leads_to(before: Order | None, event: e.OrderEvent) -> Stage:
    """The stage an event leads to, by the map."""
    if isinstance(event, e.OrderDrafted):
        return Stage.INITIATED
    if isinstance(event, e.PositionsSet):
        return Stage.FILE_UPLOADED if event.complete else Stage.INITIATED
    to = STEPS[type(event)].to
    return to or (before.stage if before else Stage.SUBMITTED)


def _wrong_work_order(before: Order, event: e.OrderEvent) -> str | None:
    """References are used once and in turn; a send follows only what was not sent yet."""
    match event:
        case e.OrderApproved() | e.ReworkOrdered():
            due = len(before.earlier_work_orders) + (before.work_order is not None) + 1
            return None if event.generation == due else f"work order {due} was due"
        case e.DeliveryChanged() if before.work_order is not None:
            if event.reference != before.work_order.reference:
                return f"the work order was {before.work_order.reference}"
            fresh = before.work_order.delivered in _SENDABLE
            if event.state is Delivered.SENDING and not fresh:
                return f"it was {before.work_order.delivered} already"
    return None
