"""When a far side is being maintained: ``Sun 02:00-04:30; Mon-Fri 22:00-22:15``, in local time.

A window is what a clock on that wall shows. In the night when clocks are set, it lasts from the
first instant that shows its beginning to the first after it that shows its end or later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_ONE = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:\s*-\s*(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<begins>\d\d:\d\d)\s*-\s*(?P<ends>\d\d:\d\d)"
)


@dataclass(frozen=True, slots=True)
class Window:
    """From ``begins`` to ``ends`` on some days of the week, past midnight if it ends earlier."""

    days: frozenset[int]
    begins: time
    ends: time


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A far side's windows and the time zone of its clock."""

    windows: Sequence[Window] = ()
    zone: tzinfo = UTC

    def until(self, now: datetime) -> datetime | None:
        """When the maintenance that is going on at ``now`` ends; None when there is none."""
        ends = [end for one in self.windows if (end := _end(one, self.zone, now))]
        return max(ends, default=None)


ALWAYS_THERE = Maintenance()


def read_windows(text: str) -> tuple[Window, ...]:
    """Read windows, separated by semicolons; without days a window is every day's.

    Raises:
        ValueError: it is not of that form.
    """
    return tuple(_window(part.strip().lower()) for part in text.split(";") if part.strip())


def _window(text: str) -> Window:
    match = _ONE.fullmatch(text)
    if match is None:
        raise ValueError("windows such as: Sun 02:00-04:30; Mon-Fri 22:00-22:15")
    begins, ends = _wall(match["begins"]), _wall(match["ends"])
    if begins == ends:
        raise ValueError("a window ends later than it begins, or on the next day before that")
    return Window(_days(match["first"], match["last"]), begins, ends)


def _wall(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))  # ValueError says what is wrong with 25:00.


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    for name in (first, last or first):
        if name not in DAYS:
            raise ValueError(f"a day is one of: {', '.join(DAYS)}")
    begin, length = DAYS.index(first), DAYS.index(last or first) - DAYS.index(first)
    return frozenset((begin + n) % 7 for n in range(length % 7 + 1))


def _end(window: Window, zone: tzinfo, now: datetime) -> datetime | None:
    """The end of the window's occurrence that holds ``now``: today's, or yesterday's."""
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        if day.weekday() not in window.days:
            continue
        over_night = window.ends <= window.begins
        last = day + timedelta(days=1) if over_night else day
        begins = datetime.combine(day, window.begins, zone).astimezone(UTC)
        # Of two instants that show the same time the later one ends it: better closed too long.
        ends = datetime.combine(last, window.ends, zone).replace(fold=1).astimezone(UTC)
        if begins <= now < ends:
            return ends
    return None
