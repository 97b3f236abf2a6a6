"""How often somebody may come: the generic cell rate algorithm, in bounded memory.

Source: ATM Forum, "Traffic Management Specification 4.0", 1996 (virtual scheduling).
"""

import time
from collections.abc import Callable, Iterable
from math import ceil
from typing import NamedTuple, Protocol

from orderkeep.access.keys import Quota

MAX_NAMES = 10_000


class Verdict(NamedTuple):
    """Whether one more call is within the quota; times in seconds from now."""

    allowed: bool
    remaining: int
    reset_s: int
    """When the whole quota is there again."""
    retry_s: float
    """When the next call will be within it; 0 if this one was."""


class Others(Protocol):
    """Other processes that count calls of the same names; see ``adapters/sql/postgres/telling``."""

    def used(self, name: str, seconds: float) -> None:
        """Tell them, soon, that a call has used up so much of a name's quota."""
        ...

    def on_used(
        self,
        used: Callable[[str, float], None],
        ahead: Callable[[str, float], None],
        all_ahead: Callable[[], Iterable[tuple[str, float]]],
    ) -> None:
        """Have ``used`` told of what their calls used up.

        Who begins knows nothing: ``all_ahead`` is asked what is used up here, and ``ahead`` is told
        by each of those who were there before.
        """
        ...


class RateLimiter:
    """Counts calls by name; remembers the ``max_names`` who came last.

    With ``others`` the quota is of all processes together. Nobody waits for them: what they let
    through meanwhile is told a moment later, and taken off what is left.
    """

    def __init__(
        self,
        max_names: int = MAX_NAMES,
        others: Others | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_names = max_names
        self._due: dict[str, float] = {}
        self._others = others
        self._clock = clock
        if others is not None:
            others.on_used(self._used, self._ahead, self._all_ahead)

    def take(self, name: str, quota: Quota, now: float) -> Verdict:
        """Count a call at ``now`` (seconds of a clock that never goes back)."""
        step = quota.per_seconds / quota.rate
        due = max(self._due.pop(name, now), now) + step
        late = due - now - quota.per_seconds
        # A rounding error must not cost the last call of a quota.
        if late > step * 1e-6:
            self._remember(name, due - step)
            return Verdict(False, 0, ceil(due - step - now), late)
        self._remember(name, due)
        if self._others is not None:
            self._others.used(name, step)
        return _within(quota, due - now)

    def look(self, name: str, quota: Quota, now: float) -> Verdict:
        """The verdict on the quota as it is, counting nothing."""
        return _within(quota, max(self._due.get(name, now) - now, 0.0))

    def __len__(self) -> int:
        return len(self._due)

    def _used(self, name: str, seconds: float) -> None:
        now = self._clock()
        self._remember(name, max(self._due.pop(name, now), now) + seconds)

    def _ahead(self, name: str, seconds: float) -> None:
        self._remember(name, max(self._due.pop(name, 0.0), self._clock() + seconds))

    def _all_ahead(self) -> Iterable[tuple[str, float]]:
        now = self._clock()
        return [(name, due - now) for name, due in self._due.items() if due > now]

    def _remember(self, name: str, due: float) -> None:
        # Taken out and put in again, so that the first name is the one longest not seen.
        self._due[name] = due
        if len(self._due) > self._max_names:
            del self._due[next(iter(self._due))]


def _within(quota: Quota, used_s: float) -> Verdict:
    step = quota.per_seconds / quota.rate
    remaining = int((quota.per_seconds - used_s) / step + 1e-6)
    return Verdict(True, max(remaining, 0), ceil(used_s), 0.0)


def quota_lines(quota: Quota, verdict: Verdict) -> bytes:
    """The same headers as ``quota_headers``, as the lines of an answer."""
    rate, remaining, reset = quota.rate, verdict.remaining, verdict.reset_s
    return _LINES % (rate, quota.per_seconds, remaining, reset, rate, remaining, reset)


_LINES = (
    b'ratelimit-policy: "key";q=%d;w=%d\r\nratelimit: "key";r=%d;t=%d\r\n'
    b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"
)


def quota_headers(quota: Quota, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """The quota as headers: the IETF draft's two fields and the three older ones."""
    remaining, reset = b"%d" % verdict.remaining, b"%d" % verdict.reset_s
    return [
        (b"ratelimit-policy", b'"key";q=%d;w=%d' % (quota.rate, quota.per_seconds)),
        (b"ratelimit", b'"key";r=%b;t=%b' % (remaining, reset)),
        (b"ratelimit-limit", b"%d" % quota.rate),
        (b"ratelimit-remaining", remaining),
        (b"ratelimit-reset", reset),
    ]
