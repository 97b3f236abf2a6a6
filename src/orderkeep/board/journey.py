"""An order's road as a strip: nine stages, when each was entered and left, what happened there."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from orderkeep.orders import events as e
from orderkeep.orders.order import Stage

ROAD = tuple(stage for stage in Stage if stage is not Stage.CANCELLED)
_MARKS: Mapping[type, str] = {
    e.HoldPlaced: "hold",
    e.ReworkOrdered: "rework",
    e.PriceQueued: "reprice",
    e.SentBackToPricing: "reprice",
}


class Step(msgspec.Struct, frozen=True):
    """One stage of the strip; ``state``: ``done current ahead skipped``."""

    stage: Stage
    entered_at: datetime | None
    left_at: datetime | None
    norm_s: int | None
    state: str
    marks: Sequence[str]


def journey(history: Sequence[e.Recorded], norms: Mapping[Stage, timedelta]) -> list[Step]:
    """The strip of an order; a stage visited more than once shows its last visit."""
    now = history[-1].stage
    visits = _visits(history)
    marks = _marks(history)
    road = (*ROAD, Stage.CANCELLED) if now is Stage.CANCELLED else ROAD
    return [_step(stage, now, visits, marks, norms) for stage in road]


def _step(
    stage: Stage,
    now: Stage,
    visits: Mapping[Stage, tuple[datetime, datetime | None]],
    marks: Mapping[Stage, Sequence[str]],
    norms: Mapping[Stage, timedelta],
) -> Step:
    entered, left = visits.get(stage, (None, None))
    norm = norms.get(stage)
    seconds = int(norm.total_seconds()) if norm else None
    state = _state(stage, now, visited=stage in visits)
    return Step(stage, entered, left, seconds, state, marks.get(stage, ()))


def _state(stage: Stage, now: Stage, *, visited: bool) -> str:
    if stage is now:
        return "current"
    if now is Stage.CANCELLED or ROAD.index(stage) < ROAD.index(now):
        return "done" if visited else "skipped"
    return "ahead"  # Also what was reached before and has to be gone through again.


def _visits(history: Sequence[e.Recorded]) -> dict[Stage, tuple[datetime, datetime | None]]:
    """Of each stage's last visit: when it was entered, and left."""
    visits: dict[Stage, tuple[datetime, datetime | None]] = {}
    before: Stage | None = None
    for recorded in history:
        if recorded.stage is before:
            continue
        if before is not None:
            visits[before] = (visits[before][0], recorded.at)
        visits[recorded.stage] = (recorded.at, None)
        before = recorded.stage
    return visits


def _marks(history: Sequence[e.Recorded]) -> dict[Stage, list[str]]:
    """What happened in each stage beside passing it, each once."""
    marks: dict[Stage, list[str]] = {}
    for recorded in history:
        mark = _MARKS.get(type(recorded.event))
        seen = marks.setdefault(recorded.stage, [])
        if mark and mark not in seen and not _is_first_price(recorded):
            seen.append(mark)
    return marks


def _is_first_price(recorded: e.Recorded) -> bool:
    return isinstance(recorded.event, e.PriceQueued) and recorded.event.version == 1
