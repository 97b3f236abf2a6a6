"""Decisions from the approval to the finished piece: claims, the way to the MES, rework."""

from orderkeep.kernel.ids import work_order_ref
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.home import is_made_here
from orderkeep.orders.order import (
    ARRIVED,
    FINAL,
    MAKING,
    NOT_THERE,
    Delivered,
    Order,
    Stage,
    WorkOrderState,
    next_generation,
    work_was_done,
)
from orderkeep.orders.refusals import HEADS, Context, TransitionRefused, require_valid_price
from orderkeep.orders.view import is_claimable


def approve(order: Order, command: c.ApproveOrder, context: Context) -> list[e.OrderEvent]:
    work = order.work_order
    if order.stage in MAKING and work is not None and work.delivered is Delivered.RECALLED:
        return _make_again(order, work, command)
    if order.stage is Stage.MANUFACTURING_APPROVED:
        return _approve_again(order, command)
    require_valid_price(order, "approve", context.now)
    if order.price.consent_needed:
        reason = "The price has risen; the client has to agree first."
        raise TransitionRefused(order, "approve", reason)
    if order.hold is not None:
        raise TransitionRefused(order, "approve", "The order is held.")
    if order.file_rejected:
        raise TransitionRefused(order, "approve", "A model file is rejected.")
    if order.promise_at is None:
        raise TransitionRefused(order, "approve", "No date is promised.")
    _require_made_here(order, "approve")
    return [_to_be_made(order, command.rule)]


def _require_made_here(order: Order, action: str) -> None:
    if not is_made_here(order.home):
        raise TransitionRefused(order, action, "It is a copy: its home is the shop's system.")


def _approve_again(order: Order, command: c.ApproveOrder) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or work.delivered is not Delivered.RECALLED or order.cancel_request:
        return []  # The seller clicked twice; the second click is not an error.
    return [_to_be_made(order, command.rule)]  # The MES gave it back unasked: send it anew.


def _make_again(order: Order, work: WorkOrderState, command: c.ApproveOrder) -> list[e.OrderEvent]:
    """The piece is gone, and not by our wish: who approved it decides whether it is made anew.

    The limit of reworks binds whoever works; a person who may approve stands above it.
    """
    if order.cancel_request:
        raise TransitionRefused(order, "approve", "It is to be cancelled; decide that first.")
    if order.stage is Stage.MANUFACTURING_STARTED:
        return [e.HandedBack("gone_at_mes"), _to_be_made(order, command.rule)]
    proof = f"{work.reference} is gone at the MES"
    return [_another_piece(order, "approved_again", proof)]


def _another_piece(order: Order, reason: str, proof: str) -> e.ReworkOrdered:
    generation = next_generation(order)
    reference = work_order_ref(order.no, generation)
    return e.ReworkOrdered(reason, order.rework_no + 1, reference, generation, proof)


def _to_be_made(order: Order, rule: str | None) -> e.OrderApproved:
    generation = next_generation(order)
    return e.OrderApproved(work_order_ref(order.no, generation), generation, rule)


def claim(order: Order, command: c.ClaimOrder, context: Context) -> list[e.OrderEvent]:
    if order.claim and order.claim.operator == command.operator:
        return []
    if order.claim:
        reason = f"{order.claim.operator} has taken it."
        raise TransitionRefused(order, "claim", reason)
    if not is_claimable(order):
        raise TransitionRefused(order, "claim", "It cannot be taken now.")
    return [e.OrderClaimed(command.operator, context.now + context.policy.claim)]


def release(order: Order, command: c.ReleaseClaim, context: Context) -> list[e.OrderEvent]:
    if order.claim is None:
        return []
    if order.stage is not Stage.MANUFACTURING_APPROVED:
        raise TransitionRefused(order, "release", "Work has started; hand it back instead.")
    _require_holder_or_head(order, context.actor, "release")
    return [e.ClaimEnded(order.claim.operator, command.reason)]


def _require_holder_or_head(order: Order, actor: e.Actor, action: str) -> None:
    holder = order.claim.operator if order.claim else None
    if actor.id != holder and actor.role not in HEADS:
        raise TransitionRefused(order, action, f"{holder} has taken it.")


def reassign(order: Order, command: c.ReassignOrder, context: Context) -> list[e.OrderEvent]:
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


def record_delivery(order: Order, command: c.RecordDelivery) -> list[e.OrderEvent]:
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
        return [e.HandedBack("taken_back_at_mes"), again]
    return []


def rework(order: Order, command: c.OrderRework, context: Context) -> list[e.OrderEvent]:
    if order.stage not in {Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING}:
        raise TransitionRefused(order, "rework", "Only a finished piece is made again.")
    _require_made_here(order, "rework")
    if order.rework_no >= context.policy.rework_limit:
        raise TransitionRefused(order, "rework", "It has been made again too often.")
    if order.cancel_request:
        raise TransitionRefused(order, "rework", "It is to be cancelled; decide that first.")
    _require_proof(order, "rework", command.proof)
    return [_another_piece(order, command.reason, command.proof)]


def _require_proof(order: Order, action: str, proof: str) -> None:
    if not proof.strip():
        reason = "Say how it is known that the old work order is gone."
        raise TransitionRefused(order, action, reason)


def send_back(order: Order, command: c.SendBackToPricing, context: Context) -> list[e.OrderEvent]:
    work = order.work_order
    refused_there = work is not None and work.delivered in NOT_THERE | {Delivered.DEAD}
    waiting = order.stage is Stage.MANUFACTURING_APPROVED and refused_there
    if order.stage is not Stage.MANUFACTURING_STARTED and not waiting:
        reason = "It is sent back while it is being made, or when the MES refused it."
        raise TransitionRefused(order, "cannot-be-made", reason)
    _require_made_here(order, "cannot-be-made")
    _require_head(order, context.actor, "cannot-be-made")
    _require_proof(order, "cannot-be-made", command.proof)
    if order.cancel_request:  # Proven gone, so what was wanted can follow.
        return [e.OrderCancelled(order.cancel_request.reason, made=work_was_done(order))]
    return [e.SentBackToPricing(command.reason, order.price.version + 1, command.proof)]


def _require_head(order: Order, actor: e.Actor, action: str) -> None:
    if actor.kind is e.ActorKind.PERSON and actor.role not in HEADS:
        raise TransitionRefused(order, action, "The head of operators confirms that.")
