"""The balance: every accepted order is in exactly one class, and the classes add up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from orderkeep.ledger import sentences as say
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.order import ARRIVED, DRAFT, Delivered, PriceState, Stage
from orderkeep.orders.view import ELSEWHERE


class Class(StrEnum):
    """Where an accepted order is, for the balance; the first that fits counts."""

    CANCELLED = "cancelled"
    """Before anything was made."""
    AT_MES = "at_mes"
    """The MES has it, or had it: made, shipped, closed, cancelled after being made."""
    UNCERTAIN = "uncertain"
    QUARANTINED = "quarantined"
    """Dead, diverged or rejected: put aside with its reason."""
    WAITING = "waiting"
    """Held, or a person has to decide."""
    IN_FLIGHT = "in_flight"
    """A process of ours has the next step."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides an order's class; ``made`` is the cancellation's own word."""

    stage: str
    price_state: str
    mes_state: str | None
    held: bool
    needs_person: bool
    made: bool = False
    parked: bool = False
    """An envelope of its next step is a dead letter."""


_THERE = ARRIVED | {ELSEWHERE}
_ASIDE = frozenset({Delivered.DEAD, Delivered.DIVERGED, Delivered.REJECTED})
ON_THE_WAY = frozenset({Delivered.PENDING, Delivered.SENDING})
_ASKED = frozenset({PriceState.QUEUED, PriceState.RUNNING})
_DONE = frozenset({Stage.SHIPPED, Stage.CLOSED})
_PRICING = frozenset({Stage.SUBMITTED, Stage.PRICE_CALCULATED})


def classify(order: Standing) -> Class | None:
    """The class of an order; None for a draft, and for one that rests nowhere."""
    if order.stage == Stage.CANCELLED:
        return Class.AT_MES if order.made else Class.CANCELLED
    if order.stage in _DONE or order.mes_state in _THERE:
        return Class.AT_MES
    if order.mes_state == Delivered.UNCERTAIN:
        return Class.UNCERTAIN
    if order.mes_state in _ASIDE:
        return Class.QUARANTINED
    if order.stage in DRAFT:
        return None
    if order.held or order.needs_person or _waits_for_somebody(order):
        return Class.WAITING
    if not is_moving(order):
        return None
    return Class.QUARANTINED if order.parked else Class.IN_FLIGHT


def is_moving(order: Standing) -> bool:
    """Whether the next step is a process's and not a person's."""
    asked = order.stage in _PRICING and order.price_state in _ASKED
    return asked or order.mes_state in ON_THE_WAY


def _waits_for_somebody(order: Standing) -> bool:
    """A priced order waits for its approval, one that was taken back for the seller."""
    priced = order.stage == Stage.PRICE_CALCULATED and order.price_state not in _ASKED
    return priced or order.mes_state == Delivered.RECALLED


@dataclass(frozen=True, slots=True)
class Movers:
    """What could bring an order in flight to its next step."""

    asked: bool
    """Its price question waits for the engine."""
    on_its_way: bool
    """Its delivery row is being sent, or somebody will look at it."""
    travelling: frozenset[str]
    """Kinds of its envelopes that are on their way."""


def stranded(order: Standing, movers: Movers) -> str | None:
    """Why nothing will ever move an order in flight, in a few words; None when something will."""
    if order.mes_state in ON_THE_WAY:
        fine = movers.on_its_way or WORK_ORDER_WANTED in movers.travelling
        return None if fine else say.NOBODY_SENDS()
    fine = movers.asked or PRICE_WANTED in movers.travelling
    return None if fine else say.NOBODY_ASKED()


class Proof(msgspec.Struct, frozen=True):
    """The last hop that is proven of an order: what was seen, where, and when."""

    at: datetime
    hop: str
    """``accepted kept sent received handled priced intent confirmed said``; see ``explain``."""
    detail: str = ""


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that does not add up; ``order_no`` is None when no single order can be named.

    ``system`` is whose word differs from ours: ``own`` tables, ``mes``, ``crm`` or ``broker``.
    ``since`` and ``proof`` are known once a run has been kept.
    """

    order_no: str | None
    what: str
    system: str = "own"
    kind: str = "missing"
    reference: str | None = None
    """What stands for it where there is no order of ours."""
    since: datetime | None = None
    proof: Proof | None = None

    @property
    def subject(self) -> str:
        """What the difference is about: the same from run to run."""
        return self.order_no or self.reference or ""


class Sums(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many orders are in each class."""

    accepted: int = 0
    cancelled: int = 0
    at_mes: int = 0
    uncertain: int = 0
    quarantined: int = 0
    waiting: int = 0
    in_flight: int = 0


class AtBroker(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broker's own counters, since it started; repeats are counted each time."""

    published: int
    confirmed: int
    returned: int
    dropped: int
    delivered: int
    acked: int
    redelivered: int
    held: int


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    """Envelopes over the whole road; published = consumed + parked + on the way."""

    published: int
    consumed: int
    parked: int
    broker: AtBroker | None = None
    """The same road as the broker's own counters have it, where we may read them."""


class Balance(msgspec.Struct, frozen=True):
    """Where all accepted orders are at an instant; the classes are disjoint and add up.

    ``received_not_yet`` counts messages that came and became no order: what lies in quarantine, and
    ``not_understood``, what waits for a person in the tray;
    ``drafts`` are orders in the making, which nobody has a receipt for. ``partners`` are the same
    sums by partner; None stands for those without one.
    """

    at: datetime
    accepted: int
    cancelled: int
    at_mes: int
    uncertain: int
    quarantined: int
    waiting: int
    in_flight: int
    received_not_yet: int
    drafts: int
    differences: Sequence[Difference] = ()
    partners: Mapping[str, Sums] = {}
    not_understood: int = 0

    @property
    def sum_of_classes(self) -> int:
        """What ``accepted`` has to be."""
        return sum(getattr(self, name) for name in Class)

    @property
    def unaccounted(self) -> int:
        """Accepted orders that are in no class; 0 while nothing is lost."""
        return self.accepted - self.sum_of_classes
