"""How many calls a foreign system is given at once, and when none: the only place that decides.

Additive increase while the window is used and answers come as quickly as usual, halving when they
do not: the width settles where the far side is busy and nobody waits. Failures in a row open the
breaker. After its rest one probe goes out; if that is answered, the width begins at one again and
doubles with each round up to half of the bound, so that no backlog falls upon a system that has
just come back. A breaker that opens again before the far side has proven itself rests longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

TRIP = 5
"""So many calls in a row without a usable answer open the breaker."""
PROVEN = 20
"""So many answers in a row after an outage make it forgotten."""
LONGEST_REST = timedelta(minutes=1)
"""How long an open breaker rests at most before the next probe."""
LONGEST_ASKED = timedelta(minutes=15)
"""How long a far side may ask us to wait."""
LIMIT_KEPT = timedelta(minutes=10)
"""How long a limit that we ran into is believed before one more call is tried."""
SLOW = 3.0
"""An answer that takes so many times the usual means that calls queue over there."""
SLOW_AT_LEAST = timedelta(milliseconds=200)
"""What is quicker is never called slow, whatever is usual."""
FORGETTING = 0.02
"""How quickly what is usual follows what takes longer: about fifty answers."""


class Breaker(StrEnum):
    """Whether calls may leave."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One probe is on its way, or may be."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known of a far side beforehand: its limit of calls at once, and how long to rest."""

    most: int
    rest: timedelta


class Pace(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a far side is doing; kept in the database, so that a new process knows it too."""

    breaker: Breaker = Breaker.CLOSED
    since: datetime | None = None
    """When the breaker last changed."""
    down_since: datetime | None = None
    """When it opened first, through all probes that failed since."""
    width: float = 1.0
    """Calls at once."""
    doubling_below: float = 1.0
    """Up to here the width doubles with each round; above it grows by one."""
    limit: int | None = None
    """Calls at once that the far side was seen to refuse beyond."""
    limit_at: datetime | None = None
    failures: int = 0
    """Calls in a row without a usable answer."""
    opened: int = 0
    """How often in a row the breaker opened without the far side proving itself between."""
    answers: int = 0
    """Answers in a row since the breaker closed."""
    not_before: datetime | None = None
    """No call leaves before; a breaker rests until then, or we were asked to wait."""
    narrowed_at: datetime | None = None
    usual_ms: float | None = None
    why: str | None = None
    """What went wrong last."""


def begin(bounds: Bounds) -> Pace:
    """A far side nobody has called yet: begin with a third of what it may bear."""
    third = max(1.0, bounds.most / 3)
    return Pace(width=third, doubling_below=third)


def room(pace: Pace, bounds: Bounds, now: datetime) -> int:
    """How many calls may be under way at this instant."""
    if waits_until(pace, now):
        return 0
    if pace.breaker is not Breaker.CLOSED:
        return 1
    return max(1, int(min(pace.width, bearable(pace, bounds))))


def bearable(pace: Pace, bounds: Bounds) -> int:
    """How many calls at once it bears, as far as we were told or have seen."""
    return max(1, min(bounds.most, pace.limit or bounds.most))


def waits_until(pace: Pace, now: datetime) -> datetime | None:
    """Before when nothing leaves; a wait longer than any is a clock that was set back."""
    until = pace.not_before
    return until if until and now < until <= now + LONGEST_ASKED else None


def probing(pace: Pace, now: datetime) -> Pace:
    """The rest is over, and one call goes out to see."""
    if pace.breaker is not Breaker.OPEN:
        return pace
    return replace(pace, breaker=Breaker.HALF_OPEN, since=now, not_before=None)


def answered(
    pace: Pace,
    bounds: Bounds,
    began: datetime,
    now: datetime,
    *,
    full: bool,
    timed: bool = True,
) -> Pace:
    """The far side is there: it said yes, or no.

    ``full``: the window was used up. ``timed``: it is a call of the kind whose time is watched.
    """
    if _is_early(pace, began):
        return pace  # A late answer to an early call; the probe will tell.
    if pace.breaker is Breaker.HALF_OPEN:
        return _back(pace, now)
    took = max((now - began) / timedelta(milliseconds=1), 0.0)
    answers = min(pace.answers + 1, PROVEN)
    pace = replace(
        pace,
        failures=0,
        answers=answers,
        opened=0 if answers >= PROVEN else pace.opened,
        usual_ms=_usual(pace.usual_ms, took) if timed else pace.usual_ms,
        not_before=None if waits_until(pace, now) is None else pace.not_before,
    )
    pace = _try_one_more(pace, now)
    if timed and _is_slow(pace, took):
        return _narrower(pace, began, now, "slow")
    return _wider(pace, bounds) if full or pace.width < pace.doubling_below else pace


def no_room(
    pace: Pace, bounds: Bounds, at_once: int, asked: timedelta | None, now: datetime
) -> Pace:
    """It refused for want of room while ``at_once`` calls were under way, this one among them.

    Those of other processes are counted too, as far as they are known.
    """
    limit = max(1, min(at_once - 1, pace.limit or at_once))
    pause = min(asked, LONGEST_ASKED) if asked is not None else bounds.rest
    until = max(now + pause, waits_until(pace, now) or now)
    # It is there; so a probe that finds it full has the breaker wait, and does not count as one.
    breaker = Breaker.OPEN if pace.breaker is not Breaker.CLOSED else Breaker.CLOSED
    return replace(
        pace,
        breaker=breaker,
        width=max(1.0, min(pace.width / 2, limit)),
        doubling_below=max(1.0, limit / 2),
        limit=limit,
        limit_at=now,
        not_before=until,
        narrowed_at=now,
        why="no room",
    )


def unanswered(pace: Pace, bounds: Bounds, began: datetime, now: datetime, why: str) -> Pace:
    """No connection, no answer in time, or none that can be used."""
    if _is_early(pace, began):
        return pace
    if pace.breaker is Breaker.HALF_OPEN:
        return _open(pace, bounds, now, why)
    pace = _narrower(pace, began, now, why)
    pace = replace(pace, failures=pace.failures + 1, answers=0)
    return _open(pace, bounds, now, why) if pace.failures >= TRIP else pace


def also_seen(theirs: Pace, before: Pace, ours: Pace) -> Pace:
    """What another process wrote, with what the far side refused us since we read ``before``."""
    if ours.limit_at == before.limit_at or ours.limit is None:
        return theirs
    waits = [until for until in (theirs.not_before, ours.not_before) if until]
    return replace(
        theirs,
        limit=min(ours.limit, theirs.limit or ours.limit),
        limit_at=ours.limit_at,
        width=min(theirs.width, ours.width),
        not_before=max(waits, default=None),
        why=ours.why,
    )


def let_in_again(pace: Pace, bounds: Bounds, now: datetime) -> Pace:
    """A person, or the end of a maintenance window, lets calls leave again: slowly at first."""
    half = max(1.0, bearable(pace, bounds) / 2)
    return replace(_closed(pace, now), doubling_below=half)


def is_ramping(pace: Pace, bounds: Bounds) -> bool:
    """Whether calls leave, but not yet as many as before."""
    below = min(pace.doubling_below, bearable(pace, bounds))
    return pace.breaker is Breaker.CLOSED and pace.narrowed_at is None and pace.width < below


def is_milestone(before: Pace, after: Pace) -> bool:
    """Whether another process, or the next one, has to know of the change at once."""
    kept = ("breaker", "not_before", "limit", "opened")
    return any(getattr(before, name) != getattr(after, name) for name in kept)


def _is_early(pace: Pace, began: datetime) -> bool:
    """Whether a call had left before the breaker opened, or before the present probe."""
    if pace.breaker is Breaker.HALF_OPEN:
        return pace.since is not None and began < pace.since
    return pace.breaker is Breaker.OPEN


def _back(pace: Pace, now: datetime) -> Pace:
    """The probe was answered."""
    return replace(_closed(pace, now), answers=1)


def _closed(pace: Pace, now: datetime) -> Pace:
    """Calls leave again, one at first."""
    return replace(
        pace,
        breaker=Breaker.CLOSED,
        since=now,
        down_since=None,
        width=1.0,
        failures=0,
        not_before=None,
        narrowed_at=None,
    )


def _open(pace: Pace, bounds: Bounds, now: datetime, why: str) -> Pace:
    rest = min(bounds.rest * (1 << min(pace.opened, 16)), LONGEST_REST)
    return replace(
        pace,
        breaker=Breaker.OPEN,
        since=now,
        down_since=pace.down_since or now,
        opened=pace.opened + 1,
        answers=0,
        doubling_below=max(1.0, bearable(pace, bounds) / 2),
        not_before=now + rest,
        why=why,
    )


def _narrower(pace: Pace, began: datetime, now: datetime, why: str) -> Pace:
    """Half as many, once a round: calls that left before the last time tell nothing new."""
    if pace.narrowed_at is not None and began <= pace.narrowed_at <= now:
        return pace
    width = max(1.0, pace.width / 2)
    return replace(pace, width=width, doubling_below=width, narrowed_at=now, why=why)


def _wider(pace: Pace, bounds: Bounds) -> Pace:
    more = 1.0 if pace.width < pace.doubling_below else 1.0 / pace.width
    return replace(pace, width=min(pace.width + more, bearable(pace, bounds)))


def _try_one_more(pace: Pace, now: datetime) -> Pace:
    if pace.limit is None or pace.limit_at is None or now < pace.limit_at + LIMIT_KEPT:
        return pace
    return replace(pace, limit=pace.limit + 1, limit_at=now)


def _usual(usual_ms: float | None, took_ms: float) -> float:
    if usual_ms is None or took_ms < usual_ms:
        return took_ms
    return usual_ms + (took_ms - usual_ms) * FORGETTING


def _is_slow(pace: Pace, took_ms: float) -> bool:
    at_least = SLOW_AT_LEAST / timedelta(milliseconds=1)
    return took_ms > max(SLOW * (pace.usual_ms or 0.0), at_least)
