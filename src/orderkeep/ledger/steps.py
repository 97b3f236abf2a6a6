"""Whether an event may follow: the published lifecycle, and what an order must have for a step.

What has to be so beside the stage is written a second time here, on purpose: a check that asked
``orders.lifecycle`` would agree with every mistake of it.
"""

from orderkeep.orders import events as e
from orderkeep.orders.home import Home
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.transitions import TRANSITIONS, is_a_step


def illegal(before: Order | None, event: e.OrderEvent, after: Order) -> str | None:
    """Why an event cannot follow, in a few words; None when it can."""
    stage = before.stage if before else None
    if not is_a_step(stage, event, after.stage):
        return _off_the_road(stage, event, after.stage)
    return _missing(before, event) if before else None


def _off_the_road(before: Stage | None, event: e.OrderEvent, after: Stage) -> str:
    if before in TRANSITIONS[type(event)].at:
        return f"it must not lead to {after}"
    return f"the order was {before}" if before else "nothing came before it"


def _missing(before: Order, event: e.OrderEvent) -> str | None:  # noqa: C901, PLR0911  # A list of needs, not a tangle.
    """What the order would have needed."""
    match event:
        case e.OrderApproved() if before.stage is Stage.PRICE_CALCULATED:
            return _not_approvable(before) or _out_of_turn(before, event.generation)
        case e.ApprovedElsewhere() if before.home is not Home.MIRRORED:
            return "its home is here"
        case e.OrderApproved() | e.ReworkOrdered():
            return _out_of_turn(before, event.generation)
        case e.OrderClaimed() if before.claim:
            return f"{before.claim.operator} had taken it"
        case e.ClaimEnded() if not before.claim:
            return "nobody had taken it"
        case e.HoldPlaced() if before.hold:
            return "it was held already"
        case e.HoldExpired() | e.HoldLifted() if not before.hold:
            return "it was not held"
        case e.CancelRefused() | e.CancelWithdrawn() if not before.cancel_request:
            return "nobody had asked for a cancellation"
        case e.ReturnInspected() | e.ReturnResolved() if not _return_open(before):
            return "no return was open"
        case e.OrderClosed() if _return_open(before):
            return "a return was open"
        case e.DeliveryChanged():
            return _not_its_work_order(before, event)
    return None


def _not_approvable(before: Order) -> str | None:
    if before.price.state is not PriceState.READY:
        return f"its price was {before.price.state}"
    if before.price.consent_needed:
        return "the client had not agreed to the price"
    if before.file_rejected:
        return "a model file was rejected"
    return "it was held" if before.hold else None


def _out_of_turn(before: Order, generation: int) -> str | None:
    """Every work order has a reference of its own, used once and in turn."""
    due = len(before.earlier_work_orders) + (before.work_order is not None) + 1
    return None if generation == due else f"work order {due} was due"


def _return_open(before: Order) -> bool:
    return before.return_case is not None and before.return_case.state != "resolved"


def _not_its_work_order(before: Order, event: e.DeliveryChanged) -> str | None:
    if before.work_order is None:
        return "it had no work order"
    reference = before.work_order.reference
    return None if event.reference == reference else f"its work order was {reference}"
