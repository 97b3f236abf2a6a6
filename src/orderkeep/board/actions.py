"""What a person may do with an order now: from its board row quickly, from the order exactly.

Both agree with the lifecycle: an action offered is not refused unless the order changes meanwhile.
The row knows less than the order, so it offers less: what depends on who placed a hold, on a
cancel request or on a return is offered on the order's own page.
"""

# Predicates of one table share one signature, whether each needs all of it or not.
# ruff: noqa: ARG001, ARG005

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from orderkeep.access.rights import Role, may_act
from orderkeep.kernel.ids import FileId, generation_of
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.order import (
    ARRIVED,
    FINAL,
    MAKING,
    Delivered,
    Order,
    PriceState,
    Stage,
    return_is_open,
)
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context, TransitionRefused
from orderkeep.orders.view import ELSEWHERE, BoardRow, needs_person

_PRICEABLE = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})
_ASKED = frozenset({PriceState.QUEUED, PriceState.RUNNING})
_MADE = frozenset({Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING})
_GONE = frozenset({Stage.SHIPPED, Stage.CLOSED})
_AT_MES = frozenset({Stage.MANUFACTURING_APPROVED, *MAKING})
_UNDELIVERED = frozenset({"uncertain", "rejected", "dead"})
_HEADS = frozenset({Role.HEAD, Role.ADMIN})
FLOOR_ACTIONS = frozenset(
    {"start", "done", "pack", "ship", "hand-back", "rework", "cannot-be-made"},
)
"""Done at the built-in workshop, not at the order: the order follows its words."""
_WORKSHOP = FLOOR_ACTIONS | {"claim", "release", "reassign"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks; ``read_only``: the work is done in a foreign MES, not on our board.

    ``rework_limit`` is the maker's rule, which a row has to know as the lifecycle does.
    """

    login: str
    role: Role
    read_only: bool = False
    rework_limit: int = Policy().rework_limit

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.PERSON, self.login, str(self.role))


def row_actions(row: BoardRow, viewer: Viewer) -> Sequence[str]:
    """What the viewer may do with the order of this row, in the table's order."""
    facts = Facts(
        stage=row.stage,
        price_state=row.price_state,
        held=row.hold_reason is not None,
        due_owner=row.due_owner,
        promised=row.promise_at is not None,
        claimed=row.claim_operator is not None,
        mine=row.claim_operator == viewer.login,
        mes_state=row.mes_state,
        needs=row.needs_person,
        claimable=row.is_claimable,
        reworkable=_generation(row) <= viewer.rework_limit,
    )
    return _row_actions(facts, viewer.role, viewer.read_only)


def _generation(row: BoardRow) -> int:
    """Which work order it is. An order has had fewer reworks: each began another one."""
    return generation_of(row.work_order_ref) if row.work_order_ref else 1


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


class Facts(NamedTuple):
    """Of a row, what decides about actions: few enough to remember every answer."""

    stage: Stage
    price_state: str
    held: bool
    due_owner: str | None
    promised: bool
    claimed: bool
    mine: bool
    mes_state: str | None
    needs: str | None
    claimable: bool
    reworkable: bool


@lru_cache(maxsize=8192)
def _row_actions(facts: Facts, role: Role, read_only: bool) -> tuple[str, ...]:  # noqa: FBT001  # Asked for each row: the cache finds it quicker by place.
    viewer = Viewer("", role, read_only)
    return tuple(
        action
        for action, possible in _ROW.items()
        if _offered(action, viewer) and possible(facts, role)
    )


def _open(row: Facts, role: Role) -> bool:
    return row.stage not in FINAL


def _priceable(row: Facts, role: Role) -> bool:
    return row.stage in _PRICEABLE


def _ready(row: Facts) -> bool:
    priced = row.stage is Stage.PRICE_CALCULATED and row.price_state == PriceState.READY
    return priced and not row.held


def _approvable(row: Facts, role: Role) -> bool:
    if row.needs == Delivered.RECALLED:
        return row.stage in _AT_MES
    # Owed by the client: a file is rejected, or a new price not agreed to.
    return _ready(row) and row.due_owner == "seller" and row.promised


def _agreeable(row: Facts, role: Role) -> bool:
    return _ready(row) and row.due_owner == "client" and row.needs != "file"


def _startable(row: Facts, role: Role) -> bool:
    approved = row.stage is Stage.MANUFACTURING_APPROVED
    return approved and row.mine and not row.held and row.mes_state in ARRIVED


def _in_hands(row: Facts, role: Role) -> bool:
    return _still_there(row, Stage.MANUFACTURING_STARTED) and _holds(row, role)


def _still_there(row: Facts, stage: Stage) -> bool:
    """At the stage, with a piece of ours: what was scrapped is neither packed nor handed back."""
    return row.stage is stage and row.mes_state not in {Delivered.RECALLED, ELSEWHERE}


def _holds(row: Facts, role: Role) -> bool:
    return row.mine or not row.claimed or role in _HEADS


def _releasable(row: Facts, role: Role) -> bool:
    approved = row.stage is Stage.MANUFACTURING_APPROVED
    return approved and row.claimed and _holds(row, role)


def _reassignable(row: Facts, role: Role) -> bool:
    approved = row.stage is Stage.MANUFACTURING_APPROVED
    return row.stage in MAKING or (approved and row.claimed)


def _closable(row: Facts, role: Role) -> bool:
    # Whoever owes the next step tells of an open return ("support"); a hold hides it.
    return row.stage is Stage.SHIPPED and row.due_owner == "carrier" and not row.held


def _returnable(row: Facts, role: Role) -> bool:
    # Offered beside an open return, a second reason would be taken and forgotten.
    return row.stage in _GONE and row.due_owner != "support" and not row.held


def _reworkable(row: Facts, role: Role) -> bool:
    # With a wanted cancellation the head owes a decision first; a hold hides that.
    made = row.stage in _MADE and _still_there(row, row.stage)
    return made and row.reworkable and row.due_owner == "operator" and not row.held


def _cancellable(row: Facts, role: Role) -> bool:
    return _open(row, role) and row.stage not in _GONE and row.needs != "cancel"


def _undecided(needs: str | None, mes_state: str | None) -> bool:
    """Whether a person has to say what became of the work order at the MES."""
    return needs in _UNDELIVERED or (needs == "diverged" and mes_state == Delivered.DIVERGED)


def _needs(*words: str) -> Callable[[Facts, Role], bool]:
    return lambda row, role: row.needs in words


def _with_piece(stage: Stage) -> Callable[[Facts, Role], bool]:
    return lambda row, role: _still_there(row, stage)


def _at(*stages: Stage) -> Callable[[Facts, Role], bool]:
    return lambda row, role: row.stage in stages


_ROW: Mapping[str, Callable[[Facts, Role], bool]] = MappingProxyType(
    {
        "claim": lambda row, role: row.claimable,
        "start": _startable,
        "done": _in_hands,
        "pack": _with_piece(Stage.MANUFACTURING_COMPLETED),
        "ship": _with_piece(Stage.PACKAGING),
        "approve": _approvable,
        "enter-price": _priceable,
        "accept-price": _agreeable,
        "reprice": lambda row, role: _priceable(row, role) and row.price_state not in _ASKED,
        "delivery-decide": lambda row, role: _undecided(row.needs, row.mes_state),
        # What is there twice is decided, not only looked at; the order's own page offers both.
        "settle": lambda row, role: row.needs == "diverged" and row.mes_state != "diverged",
        "release": _releasable,
        "hand-back": _in_hands,
        "rework": _reworkable,
        "cannot-be-made": _with_piece(Stage.MANUFACTURING_STARTED),
        "reassign": _reassignable,
        "hold": lambda row, role: _open(row, role) and not row.held,
        "lift": lambda row, role: row.held,
        "promise": _open,
        "priority": _open,
        "replace-file": lambda row, role: _priceable(row, role) and row.needs == "file",
        "cancel-anyway": lambda row, role: row.needs == "cancel" and row.stage not in MAKING,
        "cancel-withdraw": _needs("cancel"),
        "cancel": _cancellable,
        "return-open": _returnable,
        "return-inspect": lambda row, role: False,
        "return-resolve": lambda row, role: False,
        "close": _closable,
        "note": lambda row, role: True,
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
    holds = operator in {None, viewer.login} or viewer.role in _HEADS
    return _has_piece(order, Stage.MANUFACTURING_STARTED) and holds


def _has_piece(order: Order, *stages: Stage) -> bool:
    gone = order.work_order is not None and order.work_order.delivered is Delivered.RECALLED
    return order.stage in stages and not gone


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
        "pack": lambda order, viewer: _has_piece(order, Stage.MANUFACTURING_COMPLETED),
        "ship": lambda order, viewer: _has_piece(order, Stage.PACKAGING),
        "rework": lambda order, viewer: _has_piece(order, *_MADE),
        "cannot-be-made": lambda order, viewer: _has_piece(order, Stage.MANUFACTURING_STARTED),
        "delivery-decide": lambda order, viewer: _undecided(
            needs_person(order), order.work_order.delivered if order.work_order else None
        ),
        "return-open": lambda order, viewer: not return_is_open(order),
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
    # The last is ISO 4217's code for "no currency": nothing is ever priced with it here.
    return Money(Decimal(1), order.price.total.currency if order.price.total else "XXX")
