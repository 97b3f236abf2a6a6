"""A foreign system as we keep it: how it is doing, and whether a person has paused it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from orderkeep.bridge.pace import Bounds, Breaker, Pace, is_ramping, waits_until
from orderkeep.bridge.windows import Maintenance


class Paused(msgspec.Struct, frozen=True):
    """Who paused a destination, why, and since when."""

    by: str
    because: str
    since: datetime


class Destination(msgspec.Struct, frozen=True):
    """A row of ``destinations``; ``version`` grows with every change of ``pace``."""

    name: str
    version: int = 0
    pace: Pace | None = None
    paused: Paused | None = None
    cursor: str | None = None


class Condition(StrEnum):
    """What a person is shown of a destination, gravest first."""

    PAUSED = "paused"
    MAINTENANCE = "maintenance"
    AWAY = "away"
    """The breaker is open: nothing leaves until its rest is over."""
    PROBING = "probing"
    """The breaker's rest is over, and one call goes out to see."""
    ASKED_TO_WAIT = "asked_to_wait"
    RAMPING = "ramping"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class State:
    """A destination's condition, since when, until when, and why, as far as that is known."""

    condition: Condition
    since: datetime | None = None
    until: datetime | None = None
    by: str | None = None
    why: str | None = None


def state_of(row: Destination, bounds: Bounds, maintenance: Maintenance, now: datetime) -> State:
    """Whether calls may leave, and if not, who or what holds them."""
    pace, paused = row.pace or Pace(), row.paused
    if paused is not None:
        return State(Condition.PAUSED, paused.since, None, paused.by, paused.because)
    if (ends := maintenance.until(now)) is not None:
        return State(Condition.MAINTENANCE, until=ends)
    until = waits_until(pace, now)
    if pace.breaker is not Breaker.CLOSED:
        condition = Condition.AWAY if until else Condition.PROBING
        return State(condition, pace.down_since, until, why=pace.why)
    if until is not None:
        return State(Condition.ASKED_TO_WAIT, pace.narrowed_at, until, why=pace.why)
    if is_ramping(pace, bounds):
        return State(Condition.RAMPING, pace.since)
    return State(Condition.OPEN)


class DestinationStore(Protocol):
    """Destinations; one that nobody has written of yet is as new."""

    def get(self, name: str) -> Destination: ...

    def keep_pace(self, name: str, pace: Pace, version: int) -> bool:
        """Write how it is doing, if nobody has since the row was read; whether it was written."""
        ...

    def pause(self, name: str, paused: Paused) -> bool:
        """Pause it; False when it is paused already."""
        ...

    def resume(self, name: str, pace: Pace) -> bool:
        """Let calls leave again, at this pace; False when it is not paused."""
        ...

    def keep_cursor(self, name: str, cursor: str, before: str | None) -> bool:
        """Remember how far its feed has been read, if nobody was faster; whether it was written."""
        ...
