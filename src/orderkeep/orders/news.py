"""What of an order's history is news to whoever sells it: a CRM is told this, in this order."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from orderkeep.kernel.ids import OrderNo
from orderkeep.orders import events as e
from orderkeep.orders.evolve import evolve
from orderkeep.orders.order import Order

KINDS: Mapping[type[e.OrderEvent], str] = MappingProxyType(
    {
        e.OrderSubmitted: "accepted",
        e.OrderPriced: "priced",
        e.PriceNeedsPerson: "price_manual",
        e.PricingFailed: "price_failed",
        e.PriceExpired: "price_expired",
        e.OrderApproved: "approved",
        e.ApprovedElsewhere: "approved",
        e.WorkStarted: "started",
        e.HandedBack: "handed_back",
        e.WorkCompleted: "completed",
        e.ReworkOrdered: "rework",
        e.SentBackToPricing: "repricing",
        e.PackingStarted: "packed",
        e.OrderShipped: "shipped",
        e.OrderClosed: "closed",
        e.OrderCancelled: "cancelled",
        e.CancelRequested: "cancel_requested",
        e.CancelRefused: "cancel_refused",
        e.CancelWithdrawn: "cancel_withdrawn",
        e.HoldPlaced: "held",
        e.HoldLifted: "resumed",
        e.WordDiverged: "diverged",
        e.DivergenceSettled: "settled",
    }
)
"""Events that are news, and what they are called; every step of the stage is among them."""


class News(msgspec.Struct, frozen=True):
    """One piece of news: what happened, and the order as that left it.

    The same for ever, whenever it is asked for: a repeat under its id says the same again.
    """

    kind: str
    recorded: e.Recorded
    order: Order

    @property
    def order_no(self) -> OrderNo:
        return self.recorded.order_no

    @property
    def version(self) -> int:
        """The order's version that this news made; grows with every piece."""
        return self.recorded.seq

    @property
    def id(self) -> str:
        """Its stable name, and the key of every try to tell it."""
        return f"{self.order_no}.{self.version}"


def is_news(event: e.OrderEvent) -> bool:
    """Whether somebody who sells has to know of it."""
    return type(event) in KINDS


def news_after(history: Sequence[e.Recorded], version: int) -> News | None:
    """The first news behind a version; None when all has been told, or nothing was accepted yet."""
    order: Order | None = None
    for recorded in history:
        order = evolve(order, recorded)
        # A draft that was given up has never been anybody's order.
        accepted = order.submitted_at is not None
        if recorded.seq > version and accepted and is_news(recorded.event):
            return News(KINDS[type(recorded.event)], recorded, order)
    return None


def last_news(history: Sequence[e.Recorded]) -> int:
    """The version of an order's newest news; 0 when there is none."""
    accepted = any(isinstance(one.event, e.OrderSubmitted) for one in history)
    versions = (one.seq for one in history if accepted and is_news(one.event))
    return max(versions, default=0)
