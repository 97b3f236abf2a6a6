"""Who goes when a door is full: whoever has not been served for the longest.

By what a connection does, not by where it comes from: behind a reverse proxy thousands who take
for ever have the address of those who bring orders, who are served a moment after they came.
"""

from collections import OrderedDict
from typing import Protocol

LOOKED_AT = 16
"""Of those longest not served: where each of them waits for an answer of ours, nobody goes."""


class Guest(Protocol):
    """One who has a seat."""

    @property
    def may_go(self) -> bool:
        """Whether nothing of its is under way that has come whole."""
        ...

    def goes(self) -> None:
        """It has to, now."""
        ...


class Seats:
    """All who are here, the longest not served first."""

    def __init__(self) -> None:
        self._guests: OrderedDict[Guest, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._guests)

    def take(self, guest: Guest, most: int) -> bool:
        """Seat a guest, and have another go if there are more than ``most``; False if none may."""
        self._guests[guest] = None
        return len(self._guests) <= most or self._one_goes(guest)

    def served(self, guest: Guest) -> None:
        """It has had an answer."""
        if guest in self._guests:
            self._guests.move_to_end(guest)

    def leave(self, guest: Guest) -> None:
        """It has gone."""
        self._guests.pop(guest, None)

    def _one_goes(self, newcomer: Guest) -> bool:
        for guest, _ in zip(self._guests, range(LOOKED_AT), strict=False):
            if guest is not newcomer and guest.may_go:
                self.leave(guest)
                guest.goes()
                return True
        self.leave(newcomer)
        return False
