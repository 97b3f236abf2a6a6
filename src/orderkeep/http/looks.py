"""Whose turn it is of those who only look, so that they keep nobody waiting who brings an order.

Each list is made on the event loop that keeps orders, or waits for the same database. One after
the other is quick for both; all that came at once would be one long turn.
"""

from collections import deque
from collections.abc import Callable

AT_ONCE = 32
"""Under way or waiting; more are turned away."""
A_TURN = 4
"""Begun in one turn of the loop while nobody waits for a receipt; one where somebody does."""
QUIET = 9
"""While somebody does: so many times as long as their last turn was, none is begun."""


class Looks:
    """First come, first served. Pure but for its memory; times in seconds."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._there = 0
        self._quiet_until = 0.0
        self._begun = False

    @property
    def are_enough(self) -> bool:
        """Whether one more has to be turned away."""
        return self._there >= AT_ONCE

    @property
    def wait(self) -> bool:
        """Whether anybody does."""
        return bool(self._waiting)

    def arrived(self, begin: Callable[[], None]) -> None:
        """Another one, who is to be begun by ``begin``."""
        self._there += 1
        self._waiting.append(begin)

    def left(self) -> None:
        """One has its answer, or nobody waits for it any more."""
        self._there -= 1

    def begin(self, now: float, *, orders_wait: bool) -> float:
        """Begin who may begin now; returns for how long no other may."""
        if orders_wait and now < self._quiet_until:
            return self._quiet_until - now
        many = 1 if orders_wait else A_TURN
        self._begun = bool(self._waiting)
        for _ in range(min(many, len(self._waiting))):
            self._waiting.popleft()()
        return 0.0

    def took(self, seconds: float, now: float) -> None:
        """A turn is over; if some were begun before it, it was as long as they took."""
        if self._begun:
            self._begun = False
            self._quiet_until = now + QUIET * seconds
