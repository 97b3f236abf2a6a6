"""How often somebody may come: the generic cell rate algorithm, in bounded memory.

Source: ATM Forum, "Traffic Management Specification 4.0", 1996 (virtual scheduling).
"""

from math import ceil
from typing import NamedTuple

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


class RateLimiter:
    """Counts calls by name; remembers the ``max_names`` who came last."""

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._due: dict[str, float] = {}

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
        return _within(quota, due - now)

    def look(self, name: str, quota: Quota, now: float) -> Verdict:
        """The verdict on the quota as it is, counting nothing."""
        return _within(quota, max(self._due.get(name, now) - now, 0.0))

    def __len__(self) -> int:
        return len(self._due)

    def _remember(self, name: str, due: float) -> None:
        # Taken out and put in again, so that the first name is the one longest not seen.
        self._due[name] = due
        if len(self._due) > self._max_names:
            del self._due[next(iter(self._due))]


def _within(quota: Quota, used_s: float) -> Verdict:
    step = quota.per_seconds / quota.rate
    remaining = int((quota.per_seconds - used_s) / step + 1e-6)
    return Verdict(True, max(remaining, 0), ceil(used_s), 0.0)


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
