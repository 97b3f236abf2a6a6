"""Kinds whose queue was full or answered nobody: they wait, so that the others need not."""

from datetime import timedelta

PROBING = timedelta(seconds=1)
"""How long the others of a kind wait while one of them is tried."""


class Suspects:
    """Which kinds are left alone, and until when; instants are seconds of one clock.

    When its time is over one envelope of the kind is tried, and the rest of it waits for the
    answer: a queue that still hangs must not fill the way to the broker.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._rests: dict[str, timedelta] = {}
        self._probing: set[str] = set()

    def rest(self, kind: str, now_s: float) -> timedelta | None:
        """How long an envelope of this kind has to be left alone; None if it is to be tried."""
        if kind not in self._until:
            return None
        if kind in self._probing:
            return PROBING
        if self._until[kind] > now_s:
            return self._rests[kind]
        self._probing.add(kind)
        return None

    def suspect(self, kind: str, now_s: float, rest_s: float) -> None:
        """It was refused, or not answered."""
        self._until[kind] = now_s + rest_s
        self._rests[kind] = timedelta(seconds=rest_s)
        self._probing.discard(kind)

    def cut_off(self, kind: str) -> None:
        """Nobody waited for its answer to the end: whoever comes next tries again."""
        self._probing.discard(kind)

    def is_suspect(self, kind: str) -> bool:
        """Whether the last word about it was a bad one, or none."""
        return kind in self._until

    def clear(self, kind: str) -> None:
        """It was answered well."""
        self._until.pop(kind, None)
        self._rests.pop(kind, None)
        self._probing.discard(kind)

    def try_all(self) -> None:
        """There is a new connection: one of each may be tried at once."""
        self._until = dict.fromkeys(self._until, 0.0)
        self._probing.clear()
