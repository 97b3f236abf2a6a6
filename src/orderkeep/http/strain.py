"""How many connections the event loop can bear, when another process may take the others.

Two queues may stand: requests that wait for the loop's next turn, and orders that wait for the
disk. Either alone would fill up behind a loop, or a disk, that has time left.
"""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Bearable:
    """Times in seconds."""

    turn_s: float = 0.03
    """Who comes meets a turn longer than that: too many connections are here."""
    orders: int = 256
    orders_s: float = 0.05
    """More orders than that wait for the disk, always for longer than that: the same."""
    cut: float = 0.02
    """And this share of them should go, until the wait grows shorter."""
    regain: float = 0.02
    """While there is time left over: at most so much more comes back at once."""
    regain_idle: float = 0.25
    """And where more than half of the time is left over, and no order waits."""
    regain_few: int = 8
    """And so many at least."""
    busy: float = 0.95
    """How much of the time should be used."""


BEARABLE = Bearable()


class Strain:
    """What was seen between two looks. Pure but for its memory."""

    def __init__(self, bearable: Bearable = BEARABLE) -> None:
        self._bearable = bearable
        self._began: float | None = None
        self._busy_s = self._squares = self._looked_at = 0.0
        self._fewest: int | None = None
        self._oldest_s = 0.0
        self._stood = 0.0

    def begin(self, now: float, waiting: int, oldest_s: float) -> None:
        """A turn begins; so many orders wait for the disk, the oldest for so long."""
        self._began = now
        if self._fewest is None or waiting < self._fewest:
            self._fewest, self._oldest_s = waiting, oldest_s

    def end(self, now: float) -> None:
        """The turn is over."""
        self._count(now)
        self._began = None

    def _count(self, now: float) -> None:
        if self._began is not None:
            self._busy_s += now - self._began
            self._squares += (now - self._began) ** 2

    def surplus(self, here: int, elsewhere: int, now: float, *, overloaded: bool) -> int:
        """How many of the connections should go; below zero: come back.

        Asked once in a while. As TCP finds its share (Jacobson, "Congestion Avoidance and
        Control", 1988): little by little more, and quickly less while a queue stands.
        """
        bearable, stood = self._bearable, self._stood
        self._count(now)  # A turn that is not over yet would look as if there had been none.
        busy = self._busy_s / max(now - self._looked_at, 0.001)
        waiting, self._stood = self._fewest or 0, self._standing()
        self._busy_s, self._squares, self._looked_at, self._fewest = 0.0, 0.0, now, None
        if self._stood > 1.0:
            cuts = (
                overloaded and self._stood > 0.9 * stood
            )  # Or it is not orders that take so long.
            return ceil(bearable.cut * here) if cuts else 0
        spare = (bearable.busy / max(busy, 0.01) - 1) / 2
        if spare <= 0:
            return 0
        is_idle = busy < 0.5 and not waiting
        share = min(spare, bearable.regain_idle if is_idle else bearable.regain)
        return -min(elsewhere, max(ceil(share * here), bearable.regain_few))

    def _standing(self) -> float:
        """How long the longer of the two queues stands, in parts of what is bearable."""
        # Of the turn that who comes meets: a long one is met more often than a short one.
        turn_s = self._squares / self._busy_s if self._busy_s else 0.0
        waits = (self._fewest or 0) > self._bearable.orders
        orders_s = self._oldest_s if waits else 0.0
        return max(turn_s / self._bearable.turn_s, orders_s / self._bearable.orders_s)
