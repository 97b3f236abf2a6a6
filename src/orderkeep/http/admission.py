"""Whom to let in when more come than can be served; accepting an order is given up last.

A turn is what the event loop does between two looks at its sockets. Requests that are not read yet
wait in the kernel where nobody sees them, but about as long as a turn takes: when even the
shortest turn of a while is long, more comes than is done. The idea is that of CoDel (Nichols and
Jacobson, "Controlling Queue Delay", 2012): a burst is served, a standing queue is not.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from orderkeep.http.strain import Strain


class Kind(StrEnum):
    """What a request wants, as far as it matters at the gate."""

    ORDER = "order"
    OTHER = "other"
    """Lists, tracking, uploads: whoever comes back later has lost nothing."""


class Why(StrEnum):
    """What a refusal is counted for."""

    TURN = "turn"
    """More comes than is done."""
    DISK = "disk"
    """An order has waited too long for it."""
    LOOKS = "looks"
    """Enough lists are being made."""
    SHED = "shed"
    """Another process said no; see ``shedding``."""


def kind_of(method: bytes, url: bytes) -> Kind | None:
    """What a request wants, when not everybody can be served; None for who asks how we are."""
    if method in {b"GET", b"HEAD"}:
        return None if url in {b"/healthz", b"/readyz"} else Kind.OTHER
    uploads = url.partition(b"?")[0] == b"/v1/files"
    return Kind.OTHER if uploads or method != b"POST" else Kind.ORDER


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds."""

    crowd: int = 512
    """So many at once are never too many, however slow the machine: a turn that read no more, and
    no more orders that wait for the disk, are no sign of anything."""
    slow_turn_s: float = 0.03
    """Every turn longer than that: others than orders have to wait."""
    long_turn_s: float = 0.1
    """Every turn longer than that: too many orders come."""
    watched_s: float = 0.1
    """How long every turn has to be so before it is believed."""
    orders_s: float = 0.008
    """When too many come: how long in each turn orders are let in."""
    orders_share: float = 0.5
    """And for this share of the turn before at least: where saying no takes all day, nothing is
    kept."""
    few: int = 32
    """And so many at least."""
    relieved_s: float = 0.2
    """Where another process says no on some connections: how long in each turn instead."""
    calm_s: float = 1.0
    """After the last refusal of an order: how long until the turns may be long again."""
    slow_disk_s: float = 0.1
    """An order has waited so long for the disk: others than orders have to wait."""
    late_s: float = 0.3
    """It has waited so long: no more orders, whose receipts would come too late."""


BOUNDS = Bounds()


class Admission:
    """Decides request by request; ``begin`` and ``end`` enclose each turn. Pure but for its memory.

    Attributes:
        overloaded: orders are let in for a part of each turn only.
        relieved: another process says no on the connections that it was given.
        counts: how many of each kind were turned away, and why.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.overloaded = self.relieved = False
        self.counts: Counter[tuple[Kind, Why]] = Counter()
        self._strain = Strain()
        self._slow = self._late = self._slow_disk = False
        self._began = 0.0
        self._seen = self._orders = 0
        self._fewest_orders = sys.maxsize
        self._since: float | None = None
        self._shortest = 0.0
        self._refused_at = 0.0
        self._for_orders_s = bounds.orders_s

    @property
    def at_ease(self) -> bool:
        """Whether everybody is let in, this turn."""
        return not (self._slow or self._slow_disk or self.overloaded)

    @property
    def needs_relief(self) -> bool:
        """Whether another process should say no: orders are refused, for a turn or for the disk."""
        return self.overloaded or self._late

    @property
    def refused(self) -> dict[Kind, int]:
        """How many of each kind were turned away."""
        return {
            kind: sum(many for (one, _), many in self.counts.items() if one is kind)
            for kind in Kind
        }

    def begin(self, now: float, waiting: int, oldest_s: float) -> None:
        """A turn begins; so many orders wait for the disk, the oldest for so long."""
        bounds = self._bounds
        self._began, self._seen, self._orders = now, 0, 0
        self._strain.begin(now, waiting, oldest_s)
        if self.overloaded and now - self._refused_at > bounds.calm_s:
            self.overloaded = False
        self._slow_disk = waiting > bounds.crowd and oldest_s > bounds.slow_disk_s
        self._late = self._slow_disk and oldest_s > bounds.late_s

    def admits(self, kind: Kind, now: float) -> bool:
        """Whether to serve the next request of this turn."""
        self._seen += 1
        self._orders += kind is Kind.ORDER
        admitted = self.at_ease or self.has_room(kind, now)
        if not admitted:
            self.refuses(kind, Why.DISK if self._slow_disk else Why.TURN, now)
        return admitted

    def refuses(self, kind: Kind, why: Why, now: float, many: int = 1) -> None:
        """Count those turned away, wherever that was."""
        self.counts[kind, why] += many
        if kind is Kind.ORDER and many:
            self._refused_at = now
            # Who is told no by another process is told so because too many come.
            self.overloaded |= why is Why.SHED

    def has_room(self, kind: Kind, now: float) -> bool:
        """Whether the next request of a turn that is not at ease would be served."""
        if kind is not Kind.ORDER or self._late:
            return False
        return (
            not self.overloaded
            or self._seen <= self._bounds.few
            or now - self._began < self._for_orders_s
        )

    def end(self, now: float) -> None:
        """The turn is over."""
        bounds, length = self._bounds, now - self._began
        self._strain.end(now)
        self._for_orders_s = (
            bounds.relieved_s
            if self.relieved
            else max(bounds.orders_s, bounds.orders_share * length)
        )
        if self._seen <= bounds.crowd:
            length = 0.0
        if self._since is None or length == 0.0:
            self._since, self._shortest = now, length
            self._fewest_orders = self._orders if length else sys.maxsize
            self._slow = False
            return
        self._shortest = min(self._shortest or length, length)
        self._fewest_orders = min(self._fewest_orders, self._orders)
        if now - self._since >= bounds.watched_s:
            self._judge(now)

    def surplus(self, here: int, elsewhere: int, now: float) -> int:
        """How many connections should go where no is said; below zero: come back."""
        return self._strain.surplus(here, elsewhere, now, overloaded=self.overloaded)

    def _judge(self, now: float) -> None:
        self._slow = self._shortest > self._bounds.slow_turn_s
        # Where it is not orders that are too many, to refuse some would help nobody.
        if self._shortest > self._bounds.long_turn_s and self._fewest_orders > self._bounds.crowd:
            self.overloaded, self._refused_at = True, now
        self._since, self._shortest, self._fewest_orders = now, 0.0, sys.maxsize
