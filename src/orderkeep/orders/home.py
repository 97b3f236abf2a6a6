"""Whose an order is: here, at the shop, or both; and what follows from it for sending. Pure."""

from collections.abc import Iterable
from enum import StrEnum


class Home(StrEnum):
    """Which system an order lives in; fixed when the order is accepted."""

    MIRRORED = "mirrored"
    """At the shop: ours is a copy. The old road has it made, so it never leaves for the MES."""
    CO_MASTERED = "co_mastered"
    """Here and there: we have it made, both may change it, and what differs is shown."""
    MASTERED = "mastered"
    """Here."""


_STRICTEST = (Home.MIRRORED, Home.CO_MASTERED)


def strictest(flags: Iterable[Home]) -> Home:
    """The home that follows from the flags of a partner and of a channel: nothing is made twice."""
    said = set(flags)
    return next((home for home in _STRICTEST if home in said), Home.MASTERED)


def is_made_here(home: Home) -> bool:
    """Whether a work order of ours may leave for the MES."""
    return home is not Home.MIRRORED
