"""What decisions share: who asks, when and by which rules, and how they say no."""

from dataclasses import dataclass
from datetime import datetime

from orderkeep.kernel.errors import Refused
from orderkeep.orders import events as e
from orderkeep.orders.order import (
    FINAL,
    Order,
    PriceState,
    Stage,
)
from orderkeep.orders.policy import Policy


class TransitionRefused(Refused):
    """The order is not where this is possible; ``facts``: order_no, stage, action, reason."""

    def __init__(self, order: Order, action: str, reason: str) -> None:
        super().__init__(
            reason, order_no=order.no, stage=str(order.stage), action=action, reason=reason
        )


HEADS = frozenset({"head", "admin"})


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know beside the order: who asks, when, and the maker's rules."""

    actor: e.Actor
    now: datetime
    policy: Policy


def require_open(order: Order, action: str) -> None:
    if order.stage in FINAL:
        raise TransitionRefused(order, action, "The order is closed.")


def require_valid_price(order: Order, action: str, now: datetime) -> None:
    if order.stage is not Stage.PRICE_CALCULATED or order.price.state is not PriceState.READY:
        raise TransitionRefused(order, action, "There is no price yet, or it is past approval.")
    if order.price.valid_until is not None and order.price.valid_until <= now:
        raise TransitionRefused(order, action, "The price has expired; ask for it anew.")
