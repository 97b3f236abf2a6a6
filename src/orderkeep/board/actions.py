"""What a person may do with an order now: from its board row quickly, from the order exactly.

Both agree with the lifecycle: an action offered is not refused unless the order changes meanwhile.
The row knows less than the order, so it offers less: what depends on who placed a hold, on a
cancel request or on a return is offered on the order's own page.
"""

# Predicates of one table share one signature, whether each needs all of it or not.
# ruff: noqa: ARG001, ARG005

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from orderkeep.access.rights import Role, may_act
from orderkeep.kernel.ids import FileId
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind
from orderkeep.orders.lifecycle import Context, TransitionRefused, decide
from orderkeep.orders.order import ARRIVED, FINAL, MAKING, Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow, needs_person

_PRICEABLE = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})
_ASKED = frozenset({PriceState.QUEUED, PriceState.RUNNING})
_MADE = frozenset({Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING})
_GONE = frozenset({Stage.SHIPPED, Stage.CLOSED})
_UNDELIVERED = frozenset({"uncertain", "rejected", "dead"})
_HEADS = frozenset({Role.HEAD, Role.ADMIN})
FLOOR_ACTIONS = frozenset(
    {"start", "done", "pack", "ship", "hand-back", "rework", "cannot-be-made"},
)
"""Done at the built-in workshop, not at the order: the order follows its words."""
_WORKSHOP = FLOOR_ACTIONS | {"claim", "release", "reassign"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks; ``read_only``: the work is done in a foreign MES, not on our board."""

    login: str
    role: Role
    read_only: bool = False

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.PERSON, self.login, str(self.role))


def row_actions(row: BoardRow, viewer: Viewer) -> list[str]:
    """What the viewer may do with the order of this row, in the table's order."""
    return [
        action
        for action, possible in _ROW.items()
        if _offered(action, viewer) and possible(row, viewer)
    ]


def order_actions(order: Order, viewer: Viewer, policy: Policy, now: datetime) -> list[str]:
    """What the viewer may do with this order now: exactly what would not be refused."""
    own_hold = order.hold is not None and order.hold.by == str(viewer.actor)
    context = Context(viewer.actor, now, policy)
    return [
        action
        for action in _ROW
        if _offered(action, viewer, own_hold=own_hold) and _possible(order, action, viewer, context)
    ]


def _offered(action: str, viewer: Viewer, *, own_hold: bool = False) -> bool:
    if viewer.read_only and action in _WORKSHOP:
        return False
    return may_act(viewer.role, action, own_hold=own_hold)


# --- from the row -------------------------------------------------------------------------------


def _always(row: BoardRow, viewer: Viewer) -> bool:
    return True


def _open(row: BoardRow, viewer: Viewer) -> bool:
    return row.stage not in FINAL


def _priceable(row: BoardRow, viewer: Viewer) -> bool:
    return row.stage in _PRICEABLE


def _approvable(row: BoardRow, viewer: Viewer) -> bool:
    return (
        row.stage is Stage.PRICE_CALCULATED
        and row.price_state == PriceState.READY
        and row.hold_reason is None
        and row.due_owner == "seller"  # "client": a file is rejected or the new price not agreed
        and row.promise_at is not None
    )


def _startable(row: BoardRow, viewer: Viewer) -> bool:
    return (
        row.stage is Stage.MANUFACTURING_APPROVED
        and row.claim_operator == viewer.login
        and row.hold_reason is None
        and row.mes_state in ARRIVED
    )


def _in_hands(row: BoardRow, viewer: Viewer) -> bool:
    return row.stage is Stage.MANUFACTURING_STARTED and _holds(row.claim_operator, viewer)


def _holds(operator: str | None, viewer: Viewer) -> bool:
    return operator in {None, viewer.login} or viewer.role in _HEADS


def _releasable(row: BoardRow, viewer: Viewer) -> bool:
    claimed = row.stage is Stage.MANUFACTURING_APPROVED and row.claim_operator is not None
    return claimed and _holds(row.claim_operator, viewer)


def _closable(row: BoardRow, viewer: Viewer) -> bool:
    # Whoever owes the next step tells of an open return ("support"); a hold hides it.
    return row.stage is Stage.SHIPPED and row.due_owner == "carrier" and row.hold_reason is None


def _reworkable(row: BoardRow, viewer: Viewer) -> bool:
    # With a wanted cancellation the head owes a decision first; a hold hides that.
    return row.stage in _MADE and row.due_owner == "operator" and row.hold_reason is None


def _needs(*words: str) -> Callable[[BoardRow, Viewer], bool]:
    return lambda row, viewer: row.needs_person in words


def _at(*stages: Stage) -> Callable[[BoardRow, Viewer], bool]:
    return lambda row, viewer: row.stage in stages


_ROW: Mapping[str, Callable[[BoardRow, Viewer], bool]] = MappingProxyType(
    {
        "claim": lambda row, viewer: row.is_claimable,
        "start": _startable,
        "done": _in_hands,
        "pack": _at(Stage.MANUFACTURING_COMPLETED),
        "ship": _at(Stage.PACKAGING),
        "approve": _approvable,
        "enter-price": _priceable,
        "accept-price": lambda row, viewer: (
            row.stage is Stage.PRICE_CALCULATED
            and row.price_state == PriceState.READY
            and row.due_owner == "client"
            and row.hold_reason is None
            and row.needs_person != "file"
        ),
        "reprice": lambda row, viewer: _priceable(row, viewer) and row.price_state not in _ASKED,
        "delivery-decide": _needs(*_UNDELIVERED),
        "settle": _needs("diverged"),
        "release": _releasable,
        "hand-back": _in_hands,
        "rework": _reworkable,
        "cannot-be-made": _at(Stage.MANUFACTURING_STARTED),
        "reassign": lambda row, viewer: (
            row.stage in MAKING
            or (row.stage is Stage.MANUFACTURING_APPROVED and row.claim_operator is not None)
        ),
        "hold": lambda row, viewer: _open(row, viewer) and row.hold_reason is None,
        "lift": lambda row, viewer: row.hold_reason is not None,
        "promise": _open,
        "priority": _open,
        "replace-file": lambda row, viewer: _priceable(row, viewer) and row.needs_person == "file",
        "cancel-anyway": lambda row, viewer: (
            row.needs_person == "cancel" and row.stage not in MAKING
        ),
        "cancel-withdraw": _needs("cancel"),
        "cancel": lambda row, viewer: (
            _open(row, viewer) and row.stage not in _GONE and row.needs_person != "cancel"
        ),
        "return-open": _at(*_GONE),
        "return-inspect": lambda row, viewer: False,
        "return-resolve": lambda row, viewer: False,
        "close": _closable,
        "note": _always,
    }
)


# --- from the order -----------------------------------------------------------------------------


def _possible(order: Order, action: str, viewer: Viewer, context: Context) -> bool:
    known = _REGIONS.get(action)
    if known is not None and not known(order, viewer):
        return False
    probe = _PROBES.get(action)
    return probe is None or _accepted(order, probe(order, viewer, context.now), context)


def _accepted(order: Order, command: c.OrderCommand, context: Context) -> bool:
    """Whether the lifecycle would make something of it."""
    try:
        return bool(decide(order, command, context))
    except TransitionRefused:
        return False


def _arrived(order: Order) -> bool:
    return order.work_order is not None and order.work_order.delivered in ARRIVED


def _order_in_hands(order: Order, viewer: Viewer) -> bool:
    operator = order.claim.operator if order.claim else None
    return order.stage is Stage.MANUFACTURING_STARTED and _holds(operator, viewer)


_REGIONS: Mapping[str, Callable[[Order, Viewer], bool]] = MappingProxyType(
    {
        "start": lambda order, viewer: (
            order.stage is Stage.MANUFACTURING_APPROVED
            and order.claim is not None
            and order.claim.operator == viewer.login
            and order.hold is None
            and _arrived(order)
        ),
        "done": _order_in_hands,
        "hand-back": _order_in_hands,
        "pack": lambda order, viewer: order.stage is Stage.MANUFACTURING_COMPLETED,
        "ship": lambda order, viewer: order.stage is Stage.PACKAGING,
        "cannot-be-made": lambda order, viewer: order.stage is Stage.MANUFACTURING_STARTED,
        "delivery-decide": lambda order, viewer: needs_person(order) in _UNDELIVERED,
        "return-open": lambda order, viewer: order.return_case is None,
    }
)
"""What the lifecycle is not asked: the workshop's own steps, and what a person decides."""

_Probe = Callable[[Order, Viewer, datetime], c.OrderCommand]
_SOON = timedelta(days=1)


def _another_priority(order: Order) -> int:
    return order.priority + 1 if order.priority < 9 else order.priority - 1


def _file_position(order: Order) -> int:
    return next((p.position for p in order.positions if p.file_id), 0)


_PROBES: Mapping[str, _Probe] = MappingProxyType(
    {
        "claim": lambda order, viewer, now: c.ClaimOrder(viewer.login),
        "approve": lambda order, viewer, now: c.ApproveOrder(),
        "enter-price": lambda order, viewer, now: c.EnterPrice(_some_money(order), "?"),
        "accept-price": lambda order, viewer, now: c.AcceptPrice(),
        "reprice": lambda order, viewer, now: c.Reprice("?"),
        "settle": lambda order, viewer, now: c.SettleDivergence("accept"),
        "release": lambda order, viewer, now: c.ReleaseClaim("?"),
        # Nobody's login: whoever holds it now is not the one it would go to.
        "reassign": lambda order, viewer, now: c.ReassignOrder("", "?"),
        "rework": lambda order, viewer, now: c.OrderRework("?", "?"),
        "hold": lambda order, viewer, now: c.PlaceHold("?", "seller", now + _SOON),
        "lift": lambda order, viewer, now: c.LiftHold("?"),
        "promise": lambda order, viewer, now: c.ChangePromise(_another_day(order, now), "?"),
        "priority": lambda order, viewer, now: c.ChangePriority(_another_priority(order), "?"),
        "replace-file": lambda order, viewer, now: c.ReplaceFile(
            _file_position(order), FileId("?"), "?"
        ),
        "cancel-anyway": lambda order, viewer, now: c.CancelAnyway("?"),
        "cancel-withdraw": lambda order, viewer, now: c.WithdrawCancel("?"),
        "cancel": lambda order, viewer, now: c.CancelOrder("?"),
        "return-open": lambda order, viewer, now: c.OpenReturn("?"),
        "return-inspect": lambda order, viewer, now: c.InspectReturn(),
        "return-resolve": lambda order, viewer, now: c.ResolveReturn("return"),
        "close": lambda order, viewer, now: c.CloseOrder("?"),
        "note": lambda order, viewer, now: c.AddNote("?"),
    }
)
"""A command of each kind to ask the lifecycle with; its answer is thrown away."""


def _another_day(order: Order, now: datetime) -> datetime:
    return max(order.promise_at or now, now) + _SOON


def _some_money(order: Order) -> Money:
    return Money(Decimal(1), order.price.total.currency if order.price.total else "XXX")
