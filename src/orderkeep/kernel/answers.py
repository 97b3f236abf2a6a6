"""Telling somebody an outcome later: what a future can, without what a future costs."""

from typing import Any, Protocol


class Answer(Protocol):
    """Whoever waits for an outcome; an ``asyncio.Future`` is one.

    A future wakes its task in the loop's next turn. An answer of one's own is told at once, beside
    all others of its batch, and must not raise.
    """

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, outcome: Any, /) -> None:
        """It is on disk."""
        ...

    def set_exception(self, error: Any, /) -> None:
        """It was refused, or nobody knows."""
        ...
