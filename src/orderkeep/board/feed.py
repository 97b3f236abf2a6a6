"""An order's events as people read them: by importance, newest first, a page at a time."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec

from orderkeep.orders import events as e
from orderkeep.orders.order import Delivered, Risk

PAGE = 100
_BROKEN = frozenset(
    {Delivered.REJECTED, Delivered.UNCERTAIN, Delivered.DIVERGED, Delivered.DEAD},
)


class Level(StrEnum):
    """How near an event is to the business; a level shows those before it too."""

    BUSINESS = "business"
    INTEGRATION = "integration"
    TECHNICAL = "technical"


LEVELS: Mapping[type, Level] = MappingProxyType(
    {
        e.OrderDrafted: Level.BUSINESS,
        e.PositionsSet: Level.BUSINESS,
        e.OrderSubmitted: Level.BUSINESS,
        e.PricingStarted: Level.TECHNICAL,
        e.OrderPriced: Level.BUSINESS,
        e.PriceNeedsPerson: Level.BUSINESS,
        e.PricingFailed: Level.INTEGRATION,
        e.PriceExpired: Level.BUSINESS,
        e.PriceQueued: Level.INTEGRATION,
        e.PriceAccepted: Level.BUSINESS,
        e.FileRejected: Level.BUSINESS,
        e.FileReplaced: Level.BUSINESS,
        e.PromiseChanged: Level.BUSINESS,
        e.PriorityChanged: Level.BUSINESS,
        e.OrderApproved: Level.BUSINESS,
        e.ApprovedElsewhere: Level.BUSINESS,
        e.OrderClaimed: Level.BUSINESS,
        e.ClaimEnded: Level.BUSINESS,
        e.OrderReassigned: Level.BUSINESS,
        e.WorkStarted: Level.BUSINESS,
        e.HandedBack: Level.BUSINESS,
        e.WorkCompleted: Level.BUSINESS,
        e.ReworkOrdered: Level.BUSINESS,
        e.SentBackToPricing: Level.BUSINESS,
        e.PackingStarted: Level.BUSINESS,
        e.OrderShipped: Level.BUSINESS,
        e.OrderClosed: Level.BUSINESS,
        e.OrderCancelled: Level.BUSINESS,
        e.CancelRequested: Level.BUSINESS,
        e.CancelRefused: Level.BUSINESS,
        e.CancelWithdrawn: Level.BUSINESS,
        e.HoldPlaced: Level.BUSINESS,
        e.HoldExpired: Level.BUSINESS,
        e.HoldLifted: Level.BUSINESS,
        e.ReturnOpened: Level.BUSINESS,
        e.ReturnInspected: Level.BUSINESS,
        e.ReturnResolved: Level.BUSINESS,
        e.DeliveryChanged: Level.INTEGRATION,
        e.WordDiverged: Level.INTEGRATION,
        e.DivergenceSettled: Level.INTEGRATION,
        e.RiskChanged: Level.TECHNICAL,
        e.NoteAdded: Level.BUSINESS,
    }
)
"""Every kind of event has its level; a test walks the kinds."""

_FAILED = (
    e.PriceNeedsPerson,
    e.PricingFailed,
    e.PriceExpired,
    e.FileRejected,
    e.CancelRefused,
    e.HoldExpired,
    e.WordDiverged,
)
_ORDER = tuple(Level)


class FeedPage(msgspec.Struct, frozen=True):
    """Events, newest first; ``next`` is the ``before`` of the page that follows."""

    items: Sequence[e.Recorded]
    next: int | None


def level_of(recorded: e.Recorded) -> Level:
    """How near to the business; what failed is everybody's."""
    return Level.BUSINESS if has_failed(recorded) else LEVELS[type(recorded.event)]


def has_failed(recorded: e.Recorded) -> bool:
    """Whether the event says that something did not go as it should."""
    event = recorded.event
    if isinstance(event, e.DeliveryChanged):
        return event.state in _BROKEN
    if isinstance(event, e.RiskChanged):
        return event.risk is Risk.LATE
    return isinstance(event, _FAILED)


def feed(
    history: Sequence[e.Recorded], level: Level, *, failed: bool, before: int | None
) -> FeedPage:
    """A page of an order's events up to a level, older than the ``before``-th."""
    shown = _ORDER[: _ORDER.index(level) + 1]
    wanted = [
        recorded
        for recorded in reversed(history)
        if (before is None or recorded.seq < before)
        and (has_failed(recorded) if failed else level_of(recorded) in shown)
    ]
    page = wanted[:PAGE]
    return FeedPage(page, page[-1].seq if len(wanted) > PAGE else None)
