"""The published lifecycle: at which stages each event may happen, and where it leads.

``lifecycle.py`` decides, this table is what everybody may rely on: ``docs/lifecycle.md`` shows it,
``verify`` finds steps that are not in it, and a property test holds the decisions to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orderkeep.orders import events as e
from orderkeep.orders.order import DRAFT, FINAL, MAKING, Stage


@dataclass(frozen=True, slots=True)
class Transition:
    """An event may happen ``at`` these stages (None: it begins an order) and leads ``to`` one.

    Empty ``to``: the stage stays.
    """

    at: frozenset[Stage | None]
    to: frozenset[Stage] = frozenset()


_ALL = frozenset(Stage)
_OPEN = _ALL - FINAL
_PRICING = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})
_WORK = frozenset({Stage.MANUFACTURING_APPROVED, *MAKING})
_SENT = _WORK | {Stage.SHIPPED, Stage.CLOSED, Stage.CANCELLED}
_AWAY = frozenset({Stage.SHIPPED, Stage.CLOSED})


def _at(*stages: Stage | None) -> frozenset[Stage | None]:
    return frozenset(stages)


TRANSITIONS: Mapping[type[e.Event], Transition] = MappingProxyType(
    {
        e.OrderDrafted: Transition(_at(None), frozenset({Stage.INITIATED})),
        e.PositionsSet: Transition(_at(*DRAFT), DRAFT),
        e.OrderSubmitted: Transition(_at(None, *DRAFT), frozenset({Stage.SUBMITTED})),
        e.PricingStarted: Transition(_at(*_PRICING)),
        e.OrderPriced: Transition(_at(*_PRICING), frozenset({Stage.PRICE_CALCULATED})),
        e.PriceNeedsPerson: Transition(_at(*_PRICING)),
        e.PricingFailed: Transition(_at(*_PRICING)),
        e.PriceExpired: Transition(_at(Stage.PRICE_CALCULATED)),
        e.PriceQueued: Transition(_at(*_PRICING)),
        e.PriceAccepted: Transition(_at(Stage.PRICE_CALCULATED)),
        e.FileRejected: Transition(_at(*_PRICING)),
        e.FileReplaced: Transition(_at(*_PRICING)),
        e.PromiseChanged: Transition(_at(*_OPEN)),
        e.PriorityChanged: Transition(_at(*_OPEN)),
        e.OrderApproved: Transition(
            _at(Stage.PRICE_CALCULATED, Stage.MANUFACTURING_APPROVED),
            frozenset({Stage.MANUFACTURING_APPROVED}),
        ),
        e.ApprovedElsewhere: Transition(_at(*_PRICING), frozenset({Stage.MANUFACTURING_APPROVED})),
        e.OrderClaimed: Transition(_at(Stage.MANUFACTURING_APPROVED)),
        e.ClaimEnded: Transition(_at(Stage.MANUFACTURING_APPROVED)),
        e.OrderReassigned: Transition(_at(*MAKING)),
        e.WorkStarted: Transition(
            _at(Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED),
            frozenset({Stage.MANUFACTURING_STARTED}),
        ),
        e.HandedBack: Transition(
            _at(Stage.MANUFACTURING_STARTED), frozenset({Stage.MANUFACTURING_APPROVED})
        ),
        e.WorkCompleted: Transition(
            _at(Stage.MANUFACTURING_STARTED), frozenset({Stage.MANUFACTURING_COMPLETED})
        ),
        e.ReworkOrdered: Transition(
            _at(Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING),
            frozenset({Stage.MANUFACTURING_STARTED}),
        ),
        e.SentBackToPricing: Transition(
            _at(Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED),
            frozenset({Stage.PRICE_CALCULATED}),
        ),
        e.PackingStarted: Transition(
            _at(Stage.MANUFACTURING_COMPLETED), frozenset({Stage.PACKAGING})
        ),
        e.OrderShipped: Transition(_at(Stage.PACKAGING), frozenset({Stage.SHIPPED})),
        e.OrderClosed: Transition(_at(Stage.SHIPPED), frozenset({Stage.CLOSED})),
        e.OrderCancelled: Transition(_at(*(_OPEN - {Stage.SHIPPED})), frozenset({Stage.CANCELLED})),
        e.CancelRequested: Transition(_at(*_WORK)),
        e.CancelRefused: Transition(_at(*_WORK)),
        e.CancelWithdrawn: Transition(_at(*_WORK)),
        e.HoldPlaced: Transition(_at(*_OPEN)),
        e.HoldExpired: Transition(_at(*_OPEN)),
        e.HoldLifted: Transition(_at(*_OPEN)),
        e.ReturnOpened: Transition(_at(*_AWAY)),
        e.ReturnInspected: Transition(_at(*_AWAY)),
        e.ReturnResolved: Transition(_at(*_AWAY)),
        e.DeliveryChanged: Transition(_at(*_SENT)),
        e.WordDiverged: Transition(_at(*_ALL)),
        e.DivergenceSettled: Transition(_at(*_ALL)),
        e.RiskChanged: Transition(_at(*_ALL)),
        e.NoteAdded: Transition(_at(*_ALL)),
    }
)


def is_a_step(before: Stage | None, event: e.OrderEvent, after: Stage) -> bool:
    """Whether the published lifecycle knows this event at this stage, leading to that one."""
    transition = TRANSITIONS[type(event)]
    if before not in transition.at:
        return False
    return after in transition.to if transition.to else after is before
