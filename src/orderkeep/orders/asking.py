"""Decisions before the approval: drafts, prices, model files, the promise."""

from decimal import Decimal

from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.order import (
    DRAFT,
    ManualReason,
    Order,
    Position,
    PriceState,
    Stage,
)
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context, TransitionRefused, require_open, require_valid_price


def set_positions(order: Order, command: c.SetPositions) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "edit", "Only a draft can be edited.")
    stage = Stage.FILE_UPLOADED if command.complete else Stage.INITIATED
    if order.positions == tuple(command.positions) and order.stage is stage:
        return []
    return [e.PositionsSet(list(command.positions), command.complete)]


def submit_draft(order: Order, command: c.SubmitDraft) -> list[e.OrderEvent]:
    if order.stage not in DRAFT:
        raise TransitionRefused(order, "submit", "It has already been submitted.")
    if not 1 <= len(command.positions) <= 50:
        raise TransitionRefused(order, "submit", "An order has 1 to 50 positions.")
    if not all(_is_complete(position) for position in command.positions):
        raise TransitionRefused(order, "submit", "Each position needs a model file or a sku.")
    complete = set_positions(order, c.SetPositions(command.positions, complete=True))
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


_PRICEABLE = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})


def _is_asked(order: Order, version: int) -> bool:
    """Whether an answer to this version is still wanted: late answers change nothing."""
    return (
        order.stage in _PRICEABLE
        and version == order.price.version
        and order.price.state in {PriceState.QUEUED, PriceState.RUNNING}
    )


def start_pricing(order: Order, command: c.StartPricing) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version) or order.price.state is PriceState.RUNNING:
        return []
    return [e.PricingStarted(command.version)]


def record_price(order: Order, command: c.RecordPrice, context: Context) -> list[e.OrderEvent]:
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


def record_manual(order: Order, command: c.RecordManual) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version):
        return []
    return [e.PriceNeedsPerson(command.version, list(command.reasons))]


def record_failure(order: Order, command: c.RecordPricingFailure) -> list[e.OrderEvent]:
    if not _is_asked(order, command.version):
        return []
    return [e.PricingFailed(command.version, command.reason)]


def enter_price(order: Order, command: c.EnterPrice, context: Context) -> list[e.OrderEvent]:
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


def reprice(order: Order, reason: str) -> list[e.OrderEvent]:
    if order.stage not in _PRICEABLE:
        raise TransitionRefused(order, "reprice", "A price is asked anew before the approval.")
    if order.price.state in {PriceState.QUEUED, PriceState.RUNNING}:
        return []
    return [e.PriceQueued(order.price.version + 1, reason)]


def accept_price(order: Order, command: c.AcceptPrice, context: Context) -> list[e.OrderEvent]:
    price = order.price
    if command.version is not None and command.version != price.version:
        raise TransitionRefused(order, "accept-price", "There is a newer price; read it first.")
    if price.accepted is not None and price.accepted == price.total and not price.consent_needed:
        return []
    require_valid_price(order, "accept-price", context.now)
    return [e.PriceAccepted(price.version)]


def reject_file(order: Order, command: c.RejectFile) -> list[e.OrderEvent]:
    _require_position_with_file(order, command.position, "reject-file")
    if order.file_rejected.get(command.position) == command.code:
        return []
    rejected: list[e.OrderEvent] = [e.FileRejected(command.position, command.code, command.message)]
    if order.hold is None:
        hold = e.HoldPlaced(command.message, "client", command.until, stops_clock=True)
        rejected.append(hold)
    return rejected


def replace_file(order: Order, command: c.ReplaceFile) -> list[e.OrderEvent]:
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


def change_promise(order: Order, command: c.ChangePromise, context: Context) -> list[e.OrderEvent]:
    require_open(order, "promise")
    if command.promise_at <= context.now:
        raise TransitionRefused(order, "promise", "A promise lies in the future.")
    if command.promise_at == order.promise_at:
        return []
    return [e.PromiseChanged(command.promise_at, command.reason)]


def change_priority(order: Order, command: c.ChangePriority) -> list[e.OrderEvent]:
    require_open(order, "priority")
    if not 1 <= command.priority <= 9:  # The scale's ends, named in the message.
        raise TransitionRefused(order, "priority", "Priority goes from 1, most urgent, to 9.")
    if command.priority == order.priority:
        return []
    return [e.PriorityChanged(command.priority, command.reason)]
