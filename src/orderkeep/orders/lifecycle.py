"""What an order may do next: pure decisions from order, command, actor and instant to events.

A command that asks for what is already so causes nothing; one that does not apply is refused with
a sentence. What a foreign system says is never refused: what cannot be is recorded as diverged.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import work_order_ref
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.mes_words import hear
from orderkeep.orders.order import (
    DRAFT,
    FINAL,
    MAKING,
    NOT_THERE,
    Delivered,
    Order,
    PriceState,
    Stage,
    return_is_open,
)
from orderkeep.orders.policy import Policy
from orderkeep.orders.timers import risk
from orderkeep.orders.view import is_claimable


class TransitionRefused(Refused):
    """The order is not where this is possible; ``facts``: order_no, stage, action, reason."""

    def __init__(self, order: Order, action: str, reason: str) -> None:
        super().__init__(
            reason, order_no=order.no, stage=str(order.stage), action=action, reason=reason
        )


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know beside the order: who asks, when, and the maker's rules."""

    actor: e.Actor
    now: datetime
    policy: Policy


def decide(order: Order, command: c.OrderCommand, context: Context) -> list[e.OrderEvent]:  # noqa: C901, PLR0911, PLR0912  # One branch a command: a list, not a tangle.
    """Decide what a command causes; nothing, when it is already so.

    Raises:
        TransitionRefused: not possible where the order is.
    """
    match command:
        case c.SetPositions():
            return _set_positions(order, command)
        case c.SubmitDraft():
            return _submit_draft(order, command)
        case c.StartPricing():
            return _start_pricing(order, command)
        case c.RecordPrice():
            return _record_price(order, command, context)
        case c.RecordManual():
            return _record_manual(order, command)
        case c.RecordPricingFailure():
            return _record_failure(order, command)
        case c.EnterPrice():
            return _enter_price(order, command, context)
        case c.Reprice():
            return _reprice(order, command.reason)
        case c.AcceptPrice():
            return _accept_price(order, command, context)
        case c.RejectFile():
            return _reject_file(order, command)
        case c.ReplaceFile():
            return _replace_file(order, command)
        case c.ChangePromise():
            return _change_promise(order, command, context)
        case c.ChangePriority():
            return _change_priority(order, command)
        case c.ApproveOrder():
            return _approve(order, command, context)
        case c.ClaimOrder():
            return _claim(order, command, context)
        case c.ReleaseClaim():
            return _release(order, command, context)
        case c.ReassignOrder():
            return _reassign(order, command, context)
        case c.RecordMesWord():
            return hear(order, command, context.policy)
        case c.RecordDelivery():
            return _record_delivery(order, command)
        case c.OrderRework():
            return _rework(order, command, context)
        case c.SendBackToPricing():
            return _send_back(order, command)
        case c.CloseOrder():
            return _close(order, command.why)
        case c.CancelOrder():
            return _cancel(order, command)
        case c.RecordRecallRefused():
            return _recall_refused(order, command)
        case c.CancelAnyway():
            return _cancel_anyway(order, command, context)
        case c.WithdrawCancel():
            return [e.CancelWithdrawn(command.reason)] if order.cancel_request else []
        case c.PlaceHold():
            return _place_hold(order, command, context)
        case c.LiftHold():
            return [e.HoldLifted(command.reason)] if order.hold else []
        case c.OpenReturn():
            return _open_return(order, command)
        case c.InspectReturn():
            return _inspect_return(order)
        case c.ResolveReturn():
            return _resolve_return(order, command)
        case c.SettleDivergence():
            return [e.DivergenceSettled(command.decision)] if order.diverged else []
        case c.AddNote():
            return [e.NoteAdded(command.text)]
        case c.Tick():
            return tick(order, context.policy, context.now)
        case _:
            assert_never(command)


# --- drafts -------------------------------------------------------------------------------------


def _set_positions(order: Order, command: c.SetPositions) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "edit", "Only a draft can be edited.")
    return [e.PositionsSet(list(command.positions), command.complete)]


def _submit_draft(order: Order, command: c.SubmitDraft) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "submit", "It has already been submitted.")
    return [
        e.OrderSubmitted(
            channel=order.channel,
            partner_id=order.partner_id,
            client_ref=command.client_ref or order.client_ref,
            positions=list(command.positions),
            body_sha256=command.body_sha256,
            promise_at=command.promise_at,
            promise_by=command.promise_by,
        )
    ]


# --- price --------------------------------------------------------------------------------------

_PRICEABLE = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})


def _is_asked(order: Order, version: int) -> bool:
    """Whether an answer to this version is still wanted: late answers change nothing."""
    return (
        order.stage in _PRICEABLE
        and version == order.price.version
        and order.price.state in {PriceState.QUEUED, PriceState.RUNNING}
    )


def _start_pricing(order: Order, command: c.StartPricing) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version) or order.price.state is PriceState.RUNNING:
        return []
    return [e.PricingStarted(command.version)]


def _record_price(order: Order, command: c.RecordPrice, context: Context) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version):
        return []
    return [
        e.OrderPriced(
            version=command.version,
            currency=command.total.currency,
            total=str(command.total.amount),
            lines=list(command.lines),
            valid_until=context.now + context.policy.price_valid,
            by="engine",
            consent_needed=_needs_consent(order, command.total, context.policy),
            book_version=command.book_version,
        )
    ]


def _needs_consent(order: Order, total: Money, policy: Policy) -> bool:
    seen = order.price.accepted or order.price.total
    if seen is None:
        return False
    if seen.currency != total.currency:
        return True
    return total.amount > seen.amount * (Decimal(1) + policy.reconsent_above)


def _record_manual(order: Order, command: c.RecordManual) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version):
        return []
    return [e.PriceNeedsPerson(command.version, list(command.reasons))]


def _record_failure(order: Order, command: c.RecordPricingFailure) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version):
        return []
    return [e.PricingFailed(command.version, command.reason)]


def _enter_price(order: Order, command: c.EnterPrice, context: Context) -> list[e.OrderEvent]:
    if order.stage not in _PRICEABLE:
        raise TransitionRefused(order, "enter-price", "A price is entered before the approval.")
    if command.total.amount <= 0:
        raise TransitionRefused(order, "enter-price", "A price is more than nothing.")
    answered = order.price.state in {PriceState.READY, PriceState.EXPIRED}
    return [
        e.OrderPriced(
            version=order.price.version + 1 if answered else order.price.version,
            currency=command.total.currency,
            total=str(command.total.amount),
            lines=[],
            valid_until=context.now + context.policy.price_valid,
            by=str(context.actor),
            consent_needed=_needs_consent(order, command.total, context.policy),
        ),
        e.NoteAdded(command.reason),
    ]


def _reprice(order: Order, reason: str) -> list[e.OrderEvent]:
    if order.stage not in _PRICEABLE:
        raise TransitionRefused(order, "reprice", "A price is asked anew before the approval.")
    if order.price.state in {PriceState.QUEUED, PriceState.RUNNING}:
        return []
    return [e.PriceQueued(order.price.version + 1, reason)]


def _accept_price(order: Order, command: c.AcceptPrice, context: Context) -> list[e.OrderEvent]:
    price = order.price
    if command.version is not None and command.version != price.version:
        raise TransitionRefused(order, "accept-price", "There is a newer price; read it first.")
    if price.accepted is not None and price.accepted == price.total and not price.consent_needed:
        return []
    _require_valid_price(order, "accept-price", context.now)
    return [e.PriceAccepted(price.version)]


def _require_valid_price(order: Order, action: str, now: datetime) -> None:
    if order.stage is not Stage.PRICE_CALCULATED or order.price.state is not PriceState.READY:
        raise TransitionRefused(order, action, "There is no price yet, or it is past approval.")
    if order.price.valid_until is not None and order.price.valid_until <= now:
        raise TransitionRefused(order, action, "The price has expired; ask for it anew.")


# --- files, promise, priority -------------------------------------------------------------------


def _reject_file(order: Order, command: c.RejectFile) -> list[e.OrderEvent]:
    _require_position_with_file(order, command.position, "reject-file")
    rejected: list[e.OrderEvent] = [e.FileRejected(command.position, command.code, command.message)]
    if order.hold is None:
        hold = e.HoldPlaced(command.message, "client", command.until, stops_clock=True)
        rejected.append(hold)
    return rejected


def _replace_file(order: Order, command: c.ReplaceFile) -> list[e.OrderEvent]:
    _require_position_with_file(order, command.position, "replace-file")
    events: list[e.OrderEvent] = [
        e.FileReplaced(command.position, command.file_id, command.file_sha256, command.file_name)
    ]
    if order.hold and order.hold.owner == "client":
        events.append(e.HoldLifted("another file came"))
    return [*events, e.PriceQueued(order.price.version + 1, "another file")]


def _require_position_with_file(order: Order, position: int, action: str) -> None:
    if order.stage not in _PRICEABLE:
        raise TransitionRefused(order, action, "Files change before the approval.")
    if not any(p.position == position and p.file_id for p in order.positions):
        raise TransitionRefused(order, action, "That position has no model file.")


def _change_promise(order: Order, command: c.ChangePromise, context: Context) -> list[e.OrderEvent]:
    _require_open(order, "promise")
    if command.promise_at <= context.now:
        raise TransitionRefused(order, "promise", "A promise lies in the future.")
    if command.promise_at == order.promise_at:
        return []
    return [e.PromiseChanged(command.promise_at, command.reason)]


def _change_priority(order: Order, command: c.ChangePriority) -> list[e.OrderEvent]:
    _require_open(order, "priority")
    if not 1 <= command.priority <= 9:  # The scale's ends, named in the message.
        raise TransitionRefused(order, "priority", "Priority goes from 1, most urgent, to 9.")
    if command.priority == order.priority:
        return []
    return [e.PriorityChanged(command.priority, command.reason)]


def _require_open(order: Order, action: str) -> None:
    if order.stage in FINAL:
        raise TransitionRefused(order, action, "The order is closed.")


# --- approval -----------------------------------------------------------------------------------


def _approve(order: Order, command: c.ApproveOrder, context: Context) -> list[e.OrderEvent]:
    if order.stage is Stage.MANUFACTURING_APPROVED:
        return []  # The seller clicked twice; the second click is not an error.
    _require_valid_price(order, "approve", context.now)
    if order.price.consent_needed:
        reason = "The price has risen; the client has to agree first."
        raise TransitionRefused(order, "approve", reason)
    if order.hold is not None:
        raise TransitionRefused(order, "approve", "The order is held.")
    if order.file_rejected:
        raise TransitionRefused(order, "approve", "A model file is rejected.")
    if order.promise_at is None:
        raise TransitionRefused(order, "approve", "No date is promised.")
    generation = next_generation(order)
    return [e.OrderApproved(work_order_ref(order.no, generation), generation, command.rule)]


def next_generation(order: Order) -> int:
    """The number of the order's next work order: every reference is used once."""
    return len(order.earlier_work_orders) + (order.work_order is not None) + 1


# --- claims -------------------------------------------------------------------------------------


def _claim(order: Order, command: c.ClaimOrder, context: Context) -> list[e.OrderEvent]:
    if order.claim and order.claim.operator == command.operator:
        return []
    if order.claim:
        reason = f"{order.claim.operator} has taken it."
        raise TransitionRefused(order, "claim", reason)
    if not is_claimable(order):
        raise TransitionRefused(order, "claim", "It cannot be taken now.")
    return [e.OrderClaimed(command.operator, context.now + context.policy.claim)]


def _release(order: Order, command: c.ReleaseClaim, context: Context) -> list[e.OrderEvent]:
    if order.claim is None:
        return []
    if order.stage is not Stage.MANUFACTURING_APPROVED:
        raise TransitionRefused(order, "release", "Work has started; hand it back instead.")
    _require_holder_or_head(order, context.actor, "release")
    return [e.ClaimEnded(order.claim.operator, command.reason)]


def _require_holder_or_head(order: Order, actor: e.Actor, action: str) -> None:
    holder = order.claim.operator if order.claim else None
    if actor.id != holder and actor.role not in {"head", "admin"}:
        raise TransitionRefused(order, action, f"{holder} has taken it.")


def _reassign(order: Order, command: c.ReassignOrder, context: Context) -> list[e.OrderEvent]:
    if order.claim and order.claim.operator == command.operator:
        return []
    if order.stage in MAKING:
        return [e.OrderReassigned(command.operator, command.reason)]
    if order.stage is not Stage.MANUFACTURING_APPROVED or order.claim is None:
        raise TransitionRefused(order, "reassign", "Nobody holds it.")
    until = context.now + context.policy.claim
    return [
        e.ClaimEnded(order.claim.operator, command.reason),
        e.OrderClaimed(command.operator, until),
    ]


# --- on the way to the MES ----------------------------------------------------------------------


def _record_delivery(order: Order, command: c.RecordDelivery) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or work.reference != command.reference:
        reason = "That is not the current work order."
        raise TransitionRefused(order, "deliver", reason)
    if command.state is Delivered.SENDING:
        _require_sendable(order)
    if work.delivered is command.state and work.mes_id == (command.mes_id or work.mes_id):
        return []
    changed = e.DeliveryChanged(
        command.system, command.reference, command.state, command.detail, command.mes_id
    )
    proven_gone = command.state is Delivered.RECALLED and order.cancel_request is not None
    if proven_gone and order.cancel_request:
        return [changed, e.OrderCancelled(order.cancel_request.reason)]
    return [changed]


def _require_sendable(order: Order) -> None:
    """Cancelling and sending exclude each other: both are decided on the same version."""
    if order.stage is Stage.CANCELLED or order.cancel_request:
        raise TransitionRefused(order, "deliver", "It is cancelled, or to be cancelled.")
    if order.hold:
        raise TransitionRefused(order, "deliver", "The order is held.")


# --- rework and back to the price ---------------------------------------------------------------


def _rework(order: Order, command: c.OrderRework, context: Context) -> list[e.OrderEvent]:
    if order.stage not in {Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING}:
        raise TransitionRefused(order, "rework", "Only a finished piece is made again.")
    if order.rework_no >= context.policy.rework_limit:
        raise TransitionRefused(order, "rework", "It has been made again too often.")
    generation = next_generation(order)
    reference = work_order_ref(order.no, generation)
    return [e.ReworkOrdered(command.reason, order.rework_no + 1, reference, generation)]


def _send_back(order: Order, command: c.SendBackToPricing) -> list[e.OrderEvent]:
    work = order.work_order
    refused_there = work is not None and work.delivered in NOT_THERE | {Delivered.DEAD}
    waiting = order.stage is Stage.MANUFACTURING_APPROVED and refused_there
    if order.stage is not Stage.MANUFACTURING_STARTED and not waiting:
        reason = "It is sent back while it is being made, or when the MES refused it."
        raise TransitionRefused(order, "cannot-be-made", reason)
    return [e.SentBackToPricing(command.reason, order.price.version + 1)]


# --- the end ------------------------------------------------------------------------------------


def _close(order: Order, why: str) -> list[e.OrderEvent]:
    if order.stage is Stage.CLOSED:
        return []
    if order.stage is not Stage.SHIPPED:
        raise TransitionRefused(order, "close", "Only a shipped order is closed.")
    if return_is_open(order):
        raise TransitionRefused(order, "close", "A return is open.")
    return [e.OrderClosed(why)]


def _cancel(order: Order, command: c.CancelOrder) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED or order.cancel_request:
        return []
    if order.stage in {Stage.SHIPPED, Stage.CLOSED}:
        raise TransitionRefused(order, "cancel", "It has been shipped; open a return instead.")
    work = order.work_order
    never_sent = work is None or work.delivered in NOT_THERE | {Delivered.PENDING}
    if never_sent and order.stage not in MAKING:
        return [e.OrderCancelled(command.reason)]
    return [e.CancelRequested(command.reason)]


def _recall_refused(order: Order, command: c.RecordRecallRefused) -> list[e.OrderEvent]:
    if order.cancel_request is None or order.cancel_request.refused == command.why:
        return []
    return [e.CancelRefused(command.why)]


def _cancel_anyway(order: Order, command: c.CancelAnyway, context: Context) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED:
        return []
    if order.cancel_request is None:
        raise TransitionRefused(order, "cancel-anyway", "Ask for the cancellation first.")
    made = order.stage in MAKING
    if made:
        _require_second_person(order, context.actor)
    elif order.cancel_request.refused is None:
        reason = "The MES has not answered yet."
        raise TransitionRefused(order, "cancel-anyway", reason)
    return [e.OrderCancelled(command.reason, made=made)]


def _require_second_person(order: Order, actor: e.Actor) -> None:
    """Scrapping begun work takes two: whoever asked, and a head of operators."""
    asked_by = order.cancel_request.by if order.cancel_request else None
    if actor.role not in {"head", "admin"} or str(actor) == asked_by:
        reason = "Work has begun: the head of operators confirms, not who asked."
        raise TransitionRefused(order, "cancel-anyway", reason)


# --- hold ---------------------------------------------------------------------------------------


def _place_hold(order: Order, command: c.PlaceHold, context: Context) -> list[e.OrderEvent]:
    _require_open(order, "hold")
    if order.hold is not None:
        raise TransitionRefused(order, "hold", "It is held already; lift that first.")
    if command.until <= context.now:
        raise TransitionRefused(order, "hold", "A hold ends in the future.")
    if command.stops_clock and command.owner != "client":
        reason = "The clock stops only while we wait for the client."
        raise TransitionRefused(order, "hold", reason)
    return [e.HoldPlaced(command.reason, command.owner, command.until, command.stops_clock)]


# --- returns ------------------------------------------------------------------------------------

OUTCOMES = frozenset({"return", "repair", "replace", "refund", "reject"})


def _open_return(order: Order, command: c.OpenReturn) -> list[e.OrderEvent]:
    if return_is_open(order):
        return []
    if order.stage not in {Stage.SHIPPED, Stage.CLOSED}:
        raise TransitionRefused(order, "return-open", "Only a shipped order comes back.")
    return [e.ReturnOpened(command.reason)]


def _inspect_return(order: Order) -> list[e.OrderEvent]:
    if order.return_case is None or order.return_case.state == "resolved":
        raise TransitionRefused(order, "return-inspect", "No return is open.")
    return [] if order.return_case.state == "in_inspection" else [e.ReturnInspected()]


def _resolve_return(order: Order, command: c.ResolveReturn) -> list[e.OrderEvent]:
    if not return_is_open(order):
        raise TransitionRefused(order, "return-resolve", "No return is open.")
    if command.outcome not in OUTCOMES:
        reason = f"An outcome is one of: {', '.join(sorted(OUTCOMES))}."
        raise TransitionRefused(order, "return-resolve", reason)
    return [e.ReturnResolved(command.outcome, command.replacement)]


# --- time ---------------------------------------------------------------------------------------


def tick(order: Order, policy: Policy, now: datetime) -> list[e.OrderEvent]:
    """Everything that time has made due at ``now``; the same again causes nothing."""
    if order.stage in DRAFT and order.stage_since + policy.draft <= now:
        return [e.OrderCancelled("abandoned")]
    if _is_over(order, policy, now):
        return [e.OrderClosed("timer")]
    events = [
        *_expired_price(order, policy, now),
        *_expired_hold(order, now),
        *_expired_claim(order, now),
    ]
    seen = risk(order, policy, now)
    return [*events, e.RiskChanged(seen)] if seen is not order.risk else events


def _is_over(order: Order, policy: Policy, now: datetime) -> bool:
    if order.stage is not Stage.SHIPPED or return_is_open(order):
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
