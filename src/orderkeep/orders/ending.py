"""Decisions about rest and the end: holds, cancelling, closing, returns."""

from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.home import is_made_here
from orderkeep.orders.mes_words import NOT_GIVEN_BACK, diverge
from orderkeep.orders.order import (
    MAKING,
    NOT_THERE,
    Delivered,
    Hold,
    Order,
    Stage,
    return_is_open,
    work_was_done,
)
from orderkeep.orders.refusals import HEADS, Context, TransitionRefused, require_open


def close(order: Order, why: str) -> list[e.OrderEvent]:
    if order.stage is Stage.CLOSED:
        return []
    if order.stage is not Stage.SHIPPED:
        raise TransitionRefused(order, "close", "Only a shipped order is closed.")
    if return_is_open(order):
        raise TransitionRefused(order, "close", "A return is open.")
    if order.hold:
        raise TransitionRefused(order, "close", "The order is held.")
    return [e.OrderClosed(why)]


def cancel(order: Order, command: c.CancelOrder) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED or order.cancel_request:
        return []
    if order.stage in {Stage.SHIPPED, Stage.CLOSED}:
        raise TransitionRefused(order, "cancel", "It has been shipped; open a return instead.")
    if not is_made_here(order.home):  # Nothing of ours is being made: our copy ends.
        return [e.OrderCancelled(command.reason, made=work_was_done(order))]
    work = order.work_order
    never_sent = work is None or work.delivered in NOT_THERE | {Delivered.PENDING}
    if never_sent and order.stage not in MAKING:
        return [e.OrderCancelled(command.reason)]
    return [e.CancelRequested(command.reason)]


def recall_refused(order: Order, command: c.RecordRecallRefused) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or work.reference != command.reference:
        return []
    if order.stage is Stage.CANCELLED:  # Cancelled anyway; that the MES still has it is news.
        return diverge(order, "mes", command.reference, NOT_GIVEN_BACK)
    if order.cancel_request is None or order.cancel_request.refused == command.why:
        return []
    return [e.CancelRefused(command.why)]


def cancel_anyway(order: Order, command: c.CancelAnyway, context: Context) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED:
        return []
    if order.cancel_request is None:
        raise TransitionRefused(order, "cancel-anyway", "Ask for the cancellation first.")
    if order.stage in MAKING:
        _require_second_person(order, context.actor)
    elif order.cancel_request.refused is None and not _will_not_answer(order):
        reason = "The MES has not answered yet."
        raise TransitionRefused(order, "cancel-anyway", reason)
    return [e.OrderCancelled(command.reason, made=work_was_done(order))]


def _will_not_answer(order: Order) -> bool:
    parked = {Delivered.DEAD, Delivered.DIVERGED}
    return order.work_order is not None and order.work_order.delivered in parked


def _require_second_person(order: Order, actor: e.Actor) -> None:
    """Scrapping begun work takes two: whoever asked, and a head of operators."""
    asked_by = order.cancel_request.by if order.cancel_request else None
    if actor.role not in HEADS or str(actor) == asked_by:
        reason = "Work has begun: the head of operators confirms, not who asked."
        raise TransitionRefused(order, "cancel-anyway", reason)


def place_hold(order: Order, command: c.PlaceHold, context: Context) -> list[e.OrderEvent]:
    require_open(order, "hold")
    if not (command.reason.strip() and command.owner.strip()):
        raise TransitionRefused(order, "hold", "A hold has a reason and an owner.")
    if order.hold is not None and _is_same_hold(order.hold, command):
        return []
    if order.hold is not None:
        raise TransitionRefused(order, "hold", "It is held already; lift that first.")
    if command.until <= context.now:
        raise TransitionRefused(order, "hold", "A hold ends in the future.")
    if command.stops_clock and command.owner != "client":
        reason = "The clock stops only while we wait for the client."
        raise TransitionRefused(order, "hold", reason)
    return [e.HoldPlaced(command.reason, command.owner, command.until, command.stops_clock)]


def _is_same_hold(hold: Hold, command: c.PlaceHold) -> bool:
    asked = (command.reason, command.owner, command.until, command.stops_clock)
    return (hold.reason, hold.owner, hold.until, hold.stops_clock) == asked


OUTCOMES = frozenset({"return", "repair", "replace", "refund", "reject"})


def open_return(order: Order, command: c.OpenReturn) -> list[e.OrderEvent]:
    if return_is_open(order):
        return []
    if order.stage not in {Stage.SHIPPED, Stage.CLOSED}:
        raise TransitionRefused(order, "return-open", "Only a shipped order comes back.")
    return [e.ReturnOpened(command.reason)]


def inspect_return(order: Order) -> list[e.OrderEvent]:
    if order.return_case is None or order.return_case.state == "resolved":
        raise TransitionRefused(order, "return-inspect", "No return is open.")
    return [] if order.return_case.state == "in_inspection" else [e.ReturnInspected()]


def resolve_return(order: Order, command: c.ResolveReturn) -> list[e.OrderEvent]:
    if not return_is_open(order):
        raise TransitionRefused(order, "return-resolve", "No return is open.")
    if command.outcome not in OUTCOMES:
        reason = f"An outcome is one of: {', '.join(sorted(OUTCOMES))}."
        raise TransitionRefused(order, "return-resolve", reason)
    if (command.outcome == "replace") is not (command.replacement is not None):
        reason = "The outcome replace names a new order, and no other does."
        raise TransitionRefused(order, "return-resolve", reason)
    return [e.ReturnResolved(command.outcome, command.replacement)]
