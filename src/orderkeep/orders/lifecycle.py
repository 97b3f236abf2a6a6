"""What an order may do next: pure decisions from order, command, actor and instant to events.

A command that asks for what is already so causes nothing; one that does not apply is refused with
a sentence. What a foreign system says is never refused: what cannot be is recorded as diverged.
"""

from datetime import datetime
from typing import assert_never

from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.asking import (
    accept_price,
    change_priority,
    change_promise,
    enter_price,
    record_failure,
    record_manual,
    record_price,
    reject_file,
    replace_file,
    reprice,
    set_positions,
    start_pricing,
    submit_draft,
)
from orderkeep.orders.ending import (
    cancel,
    cancel_anyway,
    close,
    inspect_return,
    open_return,
    place_hold,
    recall_refused,
    resolve_return,
)
from orderkeep.orders.evolve import evolve
from orderkeep.orders.home_words import follow
from orderkeep.orders.making import (
    approve,
    claim,
    reassign,
    record_delivery,
    release,
    rework,
    send_back,
)
from orderkeep.orders.mes_words import diverge, hear
from orderkeep.orders.order import (
    DRAFT,
    Order,
    PriceState,
    Stage,
    return_is_open,
)
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context
from orderkeep.orders.timers import risk


def decide(order: Order, command: c.OrderCommand, context: Context) -> list[e.OrderEvent]:
    """Decide what a command causes; nothing, when it is already so.

    Whatever happens, the risk is judged anew in the same decision: the watch comes back only
    when the risk grows, so nobody else would notice that it is gone.

    Raises:
        TransitionRefused: not possible where the order is.
    """
    events = _decide(order, command, context)
    if not events and not isinstance(command, c.Tick):
        return events
    after = _after(order, events, context)
    seen = risk(after, context.policy, context.now)
    return [*events, e.RiskChanged(seen)] if seen is not after.risk else events


def _after(order: Order, events: list[e.OrderEvent], context: Context) -> Order:
    cause = e.Cause(context.actor, "", "", "")
    for event in events:
        order = evolve(
            order,
            e.Recorded(order.no, order.version + 1, context.now, order.stage, cause, event),
        )
    return order


def _decide(order: Order, command: c.OrderCommand, context: Context) -> list[e.OrderEvent]:  # noqa: C901, PLR0911, PLR0912  # One branch a command: a list, not a tangle.
    match command:
        case c.SetPositions():
            return set_positions(order, command)
        case c.SubmitDraft():
            return submit_draft(order, command)
        case c.StartPricing():
            return start_pricing(order, command)
        case c.RecordPrice():
            return record_price(order, command, context)
        case c.RecordManual():
            return record_manual(order, command)
        case c.RecordPricingFailure():
            return record_failure(order, command)
        case c.EnterPrice():
            return enter_price(order, command, context)
        case c.Reprice():
            return reprice(order, command.reason)
        case c.AcceptPrice():
            return accept_price(order, command, context)
        case c.RejectFile():
            return reject_file(order, command)
        case c.ReplaceFile():
            return replace_file(order, command)
        case c.ChangePromise():
            return change_promise(order, command, context)
        case c.ChangePriority():
            return change_priority(order, command)
        case c.ApproveOrder():
            return approve(order, command, context)
        case c.ClaimOrder():
            return claim(order, command, context)
        case c.ReleaseClaim():
            return release(order, command, context)
        case c.ReassignOrder():
            return reassign(order, command, context)
        case c.RecordMesWord():
            return hear(order, command, context.policy)
        case c.RecordStrangeWord():
            return diverge(order, command.system, command.reference, command.word)
        case c.RecordHomeWord():
            return follow(order, command, context)
        case c.RecordDelivery():
            return record_delivery(order, command)
        case c.OrderRework():
            return rework(order, command, context)
        case c.SendBackToPricing():
            return send_back(order, command, context)
        case c.CloseOrder():
            return close(order, command.why)
        case c.CancelOrder():
            return cancel(order, command)
        case c.RecordRecallRefused():
            return recall_refused(order, command)
        case c.CancelAnyway():
            return cancel_anyway(order, command, context)
        case c.WithdrawCancel():
            return [e.CancelWithdrawn(command.reason)] if order.cancel_request else []
        case c.PlaceHold():
            return place_hold(order, command, context)
        case c.LiftHold():
            return [e.HoldLifted(command.reason)] if order.hold else []
        case c.OpenReturn():
            return open_return(order, command)
        case c.InspectReturn():
            return inspect_return(order)
        case c.ResolveReturn():
            return resolve_return(order, command)
        case c.SettleDivergence():
            return [e.DivergenceSettled(command.decision)] if order.diverged else []
        case c.AddNote():
            return [e.NoteAdded(command.text)]
        case c.Tick():
            return _tick(order, context.policy, context.now)
        case _:
            assert_never(command)


def _tick(order: Order, policy: Policy, now: datetime) -> list[e.OrderEvent]:
    """Everything that time has made due at ``now``, but for the risk; once and not again."""
    if order.stage in DRAFT and order.stage_since + policy.draft <= now:
        return [e.OrderCancelled("abandoned")]
    if _is_over(order, policy, now):
        return [e.OrderClosed("timer")]
    return [
        *_expired_price(order, policy, now),
        *_expired_hold(order, now),
        *_expired_claim(order, now),
    ]


def _is_over(order: Order, policy: Policy, now: datetime) -> bool:
    if order.stage is not Stage.SHIPPED or return_is_open(order) or order.hold:
        return False
    return order.stage_since + policy.close_after <= now


def _expired_price(order: Order, policy: Policy, now: datetime) -> list[e.OrderEvent]:
    price = order.price
    waiting = order.stage is Stage.PRICE_CALCULATED and price.state is PriceState.READY
    if not waiting or order.hold or price.valid_until is None or price.valid_until > now:
        return []
    expired: list[e.OrderEvent] = [e.PriceExpired(price.version)]
    if price.automatic_repricings < policy.automatic_repricings:
        expired.append(e.PriceQueued(price.version + 1, "expired", automatic=True))
    return expired


def _expired_hold(order: Order, now: datetime) -> list[e.OrderEvent]:
    hold = order.hold
    return [e.HoldExpired()] if hold and not hold.expired and hold.until <= now else []


def _expired_claim(order: Order, now: datetime) -> list[e.OrderEvent]:
    claim = order.claim
    if claim is None or claim.until is None or claim.until > now:
        return []
    return [e.ClaimEnded(claim.operator, "expired")]
