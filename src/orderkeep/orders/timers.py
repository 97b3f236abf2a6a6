"""Who owes the next step until when, and which instants the watch has to come back at."""

from dataclasses import dataclass
from datetime import datetime

from orderkeep.orders.order import (
    ARRIVED,
    DRAFT,
    FINAL,
    MAKING,
    STUCK,
    Order,
    PriceState,
    Risk,
    Stage,
    return_is_open,
)
from orderkeep.orders.policy import Policy


@dataclass(frozen=True, slots=True)
class Due:
    """A step that is owed."""

    owner: str
    at: datetime


_OWNERS = {
    Stage.INITIATED: "seller",
    Stage.FILE_UPLOADED: "seller",
    Stage.SUBMITTED: "engine",
    Stage.PRICE_CALCULATED: "seller",
    Stage.MANUFACTURING_APPROVED: "operator",
    Stage.MANUFACTURING_STARTED: "operator",
    Stage.MANUFACTURING_COMPLETED: "operator",
    Stage.PACKAGING: "operator",
    Stage.SHIPPED: "carrier",
}


_ANSWERS = {
    PriceState.NONE: "engine",
    PriceState.QUEUED: "engine",
    PriceState.RUNNING: "engine",
    PriceState.READY: "seller",
    PriceState.FAILED: "seller",
    PriceState.MANUAL: "seller",
    PriceState.EXPIRED: "seller",
}
_PRICING = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})
_TO_MAKE = frozenset({Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED})


def due(order: Order, policy: Policy) -> Due | None:
    """The next step owed; None when the order is at rest."""
    if order.hold:
        return Due(order.hold.owner, order.hold.until)
    if order.return_case and return_is_open(order):
        return Due("support", order.return_case.since + policy.return_answer)
    if order.stage in FINAL:
        return None
    return _receipt_due(order, policy) or Due(_owner(order), _norm_ends(order, policy))


def _receipt_due(order: Order, policy: Policy) -> Due | None:
    """Nobody can make what the MES does not have yet."""
    work = order.work_order
    if order.stage not in _TO_MAKE or work is None or work.delivered in ARRIVED:
        return None
    owner = "support" if work.delivered in STUCK else "engine"
    return Due(owner, work.since + policy.receipt)


def _owner(order: Order) -> str:
    if order.cancel_request and order.stage in MAKING:
        return "head"
    if order.cancel_request and order.cancel_request.refused:
        return "seller"
    if order.stage not in _PRICING:
        return _OWNERS[order.stage]
    ready = order.price.state is PriceState.READY
    if order.file_rejected or (ready and order.price.consent_needed):
        return "client"
    return _ANSWERS[order.price.state]


def _norm_ends(order: Order, policy: Policy) -> datetime:
    return clock_start(order) + policy.norms[order.stage]


def clock_start(order: Order) -> datetime:
    """When the stage's clock began, moved on by the time it stood still for the client.

    Handed back, an order keeps its place among those that wait: it has waited that long.
    """
    waiting = order.stage is Stage.MANUFACTURING_APPROVED
    begun = (order.approved_at if waiting else None) or order.stage_since
    return begun + order.paused


def timer(order: Order, policy: Policy) -> datetime | None:
    """The next instant at which the watch has something to decide, or None."""
    instants = [instant for instant in _instants(order, policy) if instant is not None]
    return min(instants, default=None)


def risk(order: Order, policy: Policy, now: datetime) -> Risk:
    """Whether the promise and the stage's norm hold at ``now``."""
    if order.stage in FINAL or order.stage is Stage.SHIPPED:
        return Risk.OK
    if order.hold and order.hold.expired:
        return Risk.LATE
    if _clock_stopped(order):
        return Risk.OK
    return max(
        (step for at, step in _risk_steps(order, policy) if at <= now),
        key=_gravity,
        default=Risk.OK,
    )


def _instants(order: Order, policy: Policy) -> list[datetime | None]:
    if order.stage in FINAL:
        return []
    return [
        order.stage_since + policy.draft if order.stage in DRAFT else None,
        _price_ends(order),
        order.hold.until if order.hold and not order.hold.expired else None,
        order.claim.until if order.claim else None,
        _closes(order, policy),
        *_next_risk(order, policy),
    ]


def _price_ends(order: Order) -> datetime | None:
    waiting = order.stage is Stage.PRICE_CALCULATED and order.price.state is PriceState.READY
    return order.price.valid_until if waiting and not order.hold else None


def _closes(order: Order, policy: Policy) -> datetime | None:
    if order.stage is not Stage.SHIPPED or return_is_open(order) or order.hold:
        return None
    return order.stage_since + policy.close_after


def _clock_stopped(order: Order) -> bool:
    return order.hold is not None and order.hold.stops_clock


def _risk_steps(order: Order, policy: Policy) -> list[tuple[datetime, Risk]]:
    norm, begun = policy.norms[order.stage], clock_start(order)
    steps = [
        (begun + norm * float(policy.at_risk_share), Risk.AT_RISK),
        (begun + norm, Risk.LATE),
    ]
    if order.promise_at and order.submitted_at:
        way = order.promise_at - order.submitted_at
        steps.append((order.submitted_at + way * float(policy.at_risk_share), Risk.AT_RISK))
        steps.append((order.promise_at, Risk.LATE))
    return steps


def _next_risk(order: Order, policy: Policy) -> list[datetime]:
    """The instants at which the risk grows beyond what is recorded."""
    if order.stage is Stage.SHIPPED or _clock_stopped(order):
        return []
    return [at for at, step in _risk_steps(order, policy) if _gravity(step) > _gravity(order.risk)]


def _gravity(step: Risk) -> int:
    return (Risk.OK, Risk.AT_RISK, Risk.LATE).index(step)
