"""Who owes the next step until when, and which instants the watch has to come back at."""

from dataclasses import dataclass
from datetime import datetime

from orderkeep.orders.order import DRAFT, FINAL, Order, PriceState, Risk, Stage, return_is_open
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


def due(order: Order, policy: Policy) -> Due | None:
    """The next step owed; None when the order is at rest."""
    if order.stage in FINAL:
        return None
    if order.hold:
        return Due(order.hold.owner, order.hold.until)
    owner = _OWNERS[order.stage]
    if order.file_rejected or order.price.consent_needed:
        owner = "client"
    elif order.stage is Stage.SUBMITTED and order.price.state in {
        PriceState.MANUAL,
        PriceState.FAILED,
    }:
        owner = "seller"
    return Due(owner, order.stage_since + policy.norms[order.stage])


def timer(order: Order, policy: Policy) -> datetime | None:
    """The next instant at which the watch has something to decide, or None."""
    instants = [instant for instant in _instants(order, policy) if instant is not None]
    return min(instants, default=None)


def risk(order: Order, policy: Policy, now: datetime) -> Risk:
    """Whether the promise and the stage's norm hold at ``now``."""
    if order.stage in FINAL or order.stage is Stage.SHIPPED or _clock_stopped(order):
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
    if order.stage is not Stage.SHIPPED or return_is_open(order):
        return None
    return order.stage_since + policy.close_after


def _clock_stopped(order: Order) -> bool:
    return order.hold is not None and order.hold.stops_clock


def _risk_steps(order: Order, policy: Policy) -> list[tuple[datetime, Risk]]:
    norm = policy.norms[order.stage]
    steps = [
        (order.stage_since + norm * float(policy.at_risk_share), Risk.AT_RISK),
        (order.stage_since + norm, Risk.LATE),
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
