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
from orderkeep.orders.evolve import evolve
from orderkeep.orders.mes_words import diverge, hear
from orderkeep.orders.order import (
    ARRIVED,
    DRAFT,
    FINAL,
    MAKING,
    NOT_THERE,
    Delivered,
    Hold,
    ManualReason,
    Order,
    Position,
    PriceState,
    Stage,
    WorkOrderState,
    next_generation,
    return_is_open,
    work_was_done,
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


_HEADS = frozenset({"head", "admin"})


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know beside the order: who asks, when, and the maker's rules."""

    actor: e.Actor
    now: datetime
    policy: Policy


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
            return _send_back(order, command, context)
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
            return _tick(order, context.policy, context.now)
        case _:
            assert_never(command)


# --- drafts -------------------------------------------------------------------------------------


def _set_positions(order: Order, command: c.SetPositions) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "edit", "Only a draft can be edited.")
    stage = Stage.FILE_UPLOADED if command.complete else Stage.INITIATED
    if order.positions == tuple(command.positions) and order.stage is stage:
        return []
    return [e.PositionsSet(list(command.positions), command.complete)]


def _submit_draft(order: Order, command: c.SubmitDraft) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "submit", "It has already been submitted.")
    if not 1 <= len(command.positions) <= 50:
        raise TransitionRefused(order, "submit", "An order has 1 to 50 positions.")
    if not all(_is_complete(position) for position in command.positions):
        raise TransitionRefused(order, "submit", "Each position needs a model file or a sku.")
    complete = _set_positions(order, c.SetPositions(command.positions, complete=True))
    submitted = e.OrderSubmitted(
        channel=order.channel,
        partner_id=order.partner_id,
        client_ref=command.client_ref or order.client_ref,
        positions=list(command.positions),
        body_sha256=command.body_sha256,
        promise_at=command.promise_at,
        promise_by=command.promise_by,
        priority=order.priority,
    )
    return [*complete, submitted]


def _is_complete(position: Position) -> bool:
    return bool(position.file_id or position.sku)


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
    if not _is_price(command.total):
        reason = ManualReason(0, "price_out_of_band", "The engine's price is not an amount.")
        return [e.PriceNeedsPerson(command.version, [reason])]
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


def _is_price(total: Money) -> bool:
    return total.amount.is_finite() and total.amount > 0


def _needs_consent(order: Order, total: Money, policy: Policy) -> bool:
    seen = order.price.accepted or order.price.offered
    if order.price.renegotiated:
        return True
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
    if not _is_price(command.total):
        raise TransitionRefused(order, "enter-price", "A price is more than nothing.")
    if _is_entered(order, command.total, context):
        return []
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


def _is_entered(order: Order, total: Money, context: Context) -> bool:
    """The seller clicked twice: a second event would prolong the price unasked."""
    price = order.price
    same = (price.state, price.total, price.by) == (PriceState.READY, total, str(context.actor))
    return same and price.valid_until == context.now + context.policy.price_valid


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
    if order.file_rejected.get(command.position) == command.code:
        return []
    rejected: list[e.OrderEvent] = [e.FileRejected(command.position, command.code, command.message)]
    if order.hold is None:
        hold = e.HoldPlaced(command.message, "client", command.until, stops_clock=True)
        rejected.append(hold)
    return rejected


def _replace_file(order: Order, command: c.ReplaceFile) -> list[e.OrderEvent]:
    _require_position_with_file(order, command.position, "replace-file")
    if _has_file(order, command):
        return []
    events: list[e.OrderEvent] = [
        e.FileReplaced(command.position, command.file_id, command.file_sha256, command.file_name)
    ]
    if _was_waited_for(order, command.position):
        events.append(e.HoldLifted("another file came"))
    return [*events, e.PriceQueued(order.price.version + 1, "another file")]


def _has_file(order: Order, command: c.ReplaceFile) -> bool:
    known = {p.position: p.file_sha256 for p in order.positions}
    return (
        command.position not in order.file_rejected
        and known[command.position] == command.file_sha256
    )


def _was_waited_for(order: Order, position: int) -> bool:
    """The client was held for this file, and for no other."""
    return (
        order.hold is not None
        and order.hold.owner == "client"
        and {*order.file_rejected} == {position}
    )


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
        return _approve_again(order, command)
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
    return [_to_be_made(order, command.rule)]


def _approve_again(order: Order, command: c.ApproveOrder) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or work.delivered is not Delivered.RECALLED or order.cancel_request:
        return []  # The seller clicked twice; the second click is not an error.
    return [_to_be_made(order, command.rule)]  # The MES gave it back unasked: send it anew.


def _to_be_made(order: Order, rule: str | None) -> e.OrderApproved:
    generation = next_generation(order)
    return e.OrderApproved(work_order_ref(order.no, generation), generation, rule)


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
    if actor.id != holder and actor.role not in _HEADS:
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
        return _of_earlier_work_order(order, command)
    if command.state is Delivered.SENDING:
        _require_sendable(order, work)
    state = work.delivered if _is_known_better(work, command.state) else command.state
    mes_id = command.mes_id or work.mes_id
    if (work.delivered, work.mes_id) == (state, mes_id):
        return []
    changed = e.DeliveryChanged(
        command.system, command.reference, state, command.detail, command.mes_id
    )
    return [changed, *_now_that_it_is_gone(order, work, state)]


def _of_earlier_work_order(order: Order, command: c.RecordDelivery) -> list[e.OrderEvent]:
    earlier = {work.reference for work in order.earlier_work_orders}
    if command.state is Delivered.SENDING or command.reference not in earlier:
        raise TransitionRefused(order, "deliver", "That is not the current work order.")
    return []  # It was proven gone before the current one was wanted.


def _require_sendable(order: Order, work: WorkOrderState) -> None:
    """Cancelling and sending exclude each other: both are decided on the same version."""
    if order.stage is Stage.CANCELLED or order.cancel_request:
        raise TransitionRefused(order, "deliver", "It is cancelled, or to be cancelled.")
    if order.hold:
        raise TransitionRefused(order, "deliver", "The order is held.")
    if work.delivered not in {Delivered.PENDING, Delivered.SENDING, Delivered.UNCERTAIN}:
        raise TransitionRefused(order, "deliver", f"It is {work.delivered}: nothing to send.")


_FURTHER = (Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED)
_LESS = frozenset({Delivered.PENDING, Delivered.SENDING, Delivered.UNCERTAIN, Delivered.REJECTED})


def _is_known_better(work: WorkOrderState, told: Delivered) -> bool:
    """News may overtake each other: the MES's own word can be here before its answer is."""
    if work.delivered is Delivered.RECALLED:
        return told in _LESS
    if work.delivered not in ARRIVED:
        return False
    return told in _LESS or told in _FURTHER[: _FURTHER.index(work.delivered)]


def _now_that_it_is_gone(
    order: Order, work: WorkOrderState, state: Delivered
) -> list[e.OrderEvent]:
    if state is work.delivered or order.stage in FINAL:
        return []
    if order.cancel_request and state in NOT_THERE:
        return [e.OrderCancelled(order.cancel_request.reason, made=work_was_done(order))]
    if state is not Delivered.RECALLED:
        return []
    return _sent_anew(order)


def _sent_anew(order: Order) -> list[e.OrderEvent]:
    """Taken back for a cancellation that was withdrawn meanwhile: it would never be made."""
    again = _to_be_made(order, "taken back, and still wanted")
    if order.stage is Stage.MANUFACTURING_APPROVED:
        return [again]
    if order.stage is Stage.MANUFACTURING_STARTED:
        return [e.HandedBack("taken back at the MES"), again]
    return []


# --- rework and back to the price ---------------------------------------------------------------


def _rework(order: Order, command: c.OrderRework, context: Context) -> list[e.OrderEvent]:
    if order.stage not in {Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING}:
        raise TransitionRefused(order, "rework", "Only a finished piece is made again.")
    if order.rework_no >= context.policy.rework_limit:
        raise TransitionRefused(order, "rework", "It has been made again too often.")
    if order.cancel_request:
        raise TransitionRefused(order, "rework", "It is to be cancelled; decide that first.")
    _require_proof(order, "rework", command.proof)
    generation = next_generation(order)
    reference = work_order_ref(order.no, generation)
    rework_no = order.rework_no + 1
    return [e.ReworkOrdered(command.reason, rework_no, reference, generation, command.proof)]


def _require_proof(order: Order, action: str, proof: str) -> None:
    if not proof.strip():
        reason = "Say how it is known that the old work order is gone."
        raise TransitionRefused(order, action, reason)


def _send_back(order: Order, command: c.SendBackToPricing, context: Context) -> list[e.OrderEvent]:
    work = order.work_order
    refused_there = work is not None and work.delivered in NOT_THERE | {Delivered.DEAD}
    waiting = order.stage is Stage.MANUFACTURING_APPROVED and refused_there
    if order.stage is not Stage.MANUFACTURING_STARTED and not waiting:
        reason = "It is sent back while it is being made, or when the MES refused it."
        raise TransitionRefused(order, "cannot-be-made", reason)
    _require_head(order, context.actor, "cannot-be-made")
    _require_proof(order, "cannot-be-made", command.proof)
    if order.cancel_request:  # Proven gone, so what was wanted can follow.
        return [e.OrderCancelled(order.cancel_request.reason, made=work_was_done(order))]
    return [e.SentBackToPricing(command.reason, order.price.version + 1, command.proof)]


def _require_head(order: Order, actor: e.Actor, action: str) -> None:
    if actor.kind is e.ActorKind.PERSON and actor.role not in _HEADS:
        raise TransitionRefused(order, action, "The head of operators confirms that.")


# --- the end ------------------------------------------------------------------------------------


def _close(order: Order, why: str) -> list[e.OrderEvent]:
    if order.stage is Stage.CLOSED:
        return []
    if order.stage is not Stage.SHIPPED:
        raise TransitionRefused(order, "close", "Only a shipped order is closed.")
    if return_is_open(order):
        raise TransitionRefused(order, "close", "A return is open.")
    if order.hold:
        raise TransitionRefused(order, "close", "The order is held.")
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
    work = order.work_order
    if work is None or work.reference != command.reference:
        return []
    if order.stage is Stage.CANCELLED:  # Cancelled anyway; that the MES still has it is news.
        return diverge(order, "mes", command.reference, "not given back")
    if order.cancel_request is None or order.cancel_request.refused == command.why:
        return []
    return [e.CancelRefused(command.why)]


def _cancel_anyway(order: Order, command: c.CancelAnyway, context: Context) -> list[e.OrderEvent]:
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
    if actor.role not in _HEADS or str(actor) == asked_by:
        reason = "Work has begun: the head of operators confirms, not who asked."
        raise TransitionRefused(order, "cancel-anyway", reason)


# --- hold ---------------------------------------------------------------------------------------


def _place_hold(order: Order, command: c.PlaceHold, context: Context) -> list[e.OrderEvent]:
    _require_open(order, "hold")
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
    if (command.outcome == "replace") is not (command.replacement is not None):
        reason = "The outcome replace names a new order, and no other does."
        raise TransitionRefused(order, "return-resolve", reason)
    return [e.ReturnResolved(command.outcome, command.replacement)]


# --- time ---------------------------------------------------------------------------------------


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
