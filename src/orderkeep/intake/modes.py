"""How far a source is taken over: one step at a time, and each step has its way back. Pure."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from orderkeep.intake.mapping import Source
from orderkeep.intake.roads import DatabaseRoad, QueueRoad
from orderkeep.kernel.errors import Conflict, Refused


class Mode(StrEnum):
    """What we do with a source's messages."""

    OFF = "off"
    TAP = "tap"
    """Map copies of them, and count what is understood."""
    SHADOW = "shadow"
    """Besides, say what would be accepted, and compare it with what really happens."""
    LIVE = "live"
    """Accept them."""
    BACK = "back"
    """The old road takes them again; what we had in hand is finished first."""


class Takes(StrEnum):
    """What a live source takes."""

    COPIES = "copies"
    """A durable queue of our own beside the old road, which goes on."""
    ORIGINAL = "original"
    """The queue itself, and nobody beside us."""
    ROWS = "rows"
    """What is new in a database."""


STEPS: dict[Mode, tuple[Mode, ...]] = {
    Mode.OFF: (Mode.TAP,),
    Mode.TAP: (Mode.SHADOW, Mode.OFF),
    Mode.SHADOW: (Mode.LIVE, Mode.TAP, Mode.OFF),
    Mode.LIVE: (Mode.BACK,),
    Mode.BACK: (Mode.LIVE, Mode.SHADOW, Mode.TAP, Mode.OFF),
}
"""Where each mode may go; the first is the way on."""


BEGINNING: Final = "?"
"""Kept as a cursor while what was there before is still being read; a new process reads it anew."""


class SourceState(msgspec.Struct, frozen=True):
    """A source's row: how far it is taken over, who said so, and how its connection is doing."""

    name: str
    mode: Mode = Mode.OFF
    since: datetime | None = None
    by: str = ""
    because: str = ""
    takes: Takes | None = None
    settled_at: datetime | None = None
    cursor: str | None = None
    seen_at: datetime | None = None
    last_at: datetime | None = None
    trouble: str | None = None
    lease_token: int = 0

    @property
    def is_settling(self) -> bool:
        """Whether the way back is not at its end: something of ours may still be at the broker."""
        return self.mode is Mode.BACK and self.settled_at is None

    @property
    def has_looked(self) -> bool:
        """Whether it was looked after since its last step, without trouble."""
        if self.since is None or self.seen_at is None:
            return False
        return self.since <= self.seen_at and self.trouble is None


class ModeRefused(Refused):
    """The source cannot go there from where it is; the sentence says why."""


def step(
    source: Source, state: SourceState, to: Mode, *, mirrored: bool, old_road_closed: bool
) -> Takes | None:
    """Whether a source may go a step, and what it takes then; None unless it becomes live.

    ``mirrored`` orders are made by the old road, and ours are copies. ``old_road_closed`` is a
    person's word that nobody else takes from a shared database.

    Raises:
        ModeRefused: with the reason.
    """
    if source.road is None:
        raise ModeRefused(f"Say in [sources.{source.name}] where it hands orders over first.")
    if to not in STEPS[state.mode]:
        ways = ", ".join(STEPS[state.mode])
        raise ModeRefused(f"From {state.mode} it goes to: {ways}.")
    if state.is_settling and to is not Mode.LIVE:
        raise ModeRefused("The way back is not at its end: what we hold is being finished.")
    if to is not Mode.LIVE:
        return None
    if isinstance(source.road, QueueRoad):
        return Takes.COPIES if mirrored else Takes.ORIGINAL
    assert isinstance(source.road, DatabaseRoad)  # noqa: S101  # There are two roads.
    if not mirrored:
        _made_by_nobody_else(state, closed=old_road_closed)
    return Takes.ROWS


def _made_by_nobody_else(state: SourceState, *, closed: bool) -> None:
    """A row stays where it is, whoever has made its order: what the old road took has to be known.

    Raises:
        ModeRefused: it is not.
    """
    if not closed:
        raise ModeRefused(
            "Whoever reads this database today would make each order a second time:"
            " stop them first and say that the old road is closed, or mirror the partner."
        )
    if state.mode is Mode.BACK and not state.is_settling:
        raise ModeRefused("The old road has taken orders since: let the shadow see them first.")
    if state.cursor == BEGINNING:
        raise ModeRefused("What was there before is still being read: wait until it has looked.")
    if state.mode is Mode.SHADOW and state.cursor is not None and not state.has_looked:
        raise ModeRefused("The shadow has not looked yet: it has to see what the old road took.")


class SourceOvertaken(Conflict):
    """A step was taken, or somebody else began to look: what an older look read is not kept."""


class SourceStore(Protocol):
    """Sources; one that nobody has written of yet is off."""

    def get(self, name: str) -> SourceState: ...

    def hold(self, name: str) -> SourceState:
        """The same; nobody else takes one that is not off a step until this unit ends."""
        ...

    def lease(self, name: str) -> SourceState:
        """Begin a look into its database: what is still being kept of earlier ones is not."""
        ...

    def require(self, name: str, lease_token: int) -> None:
        """Let what this unit writes be kept only while nobody has leased or moved it since.

        Raises:
            SourceOvertaken: somebody has.
        """
        ...

    def move(  # A step's facts, by name.
        self,
        name: str,
        before: SourceState,
        to: Mode,
        *,
        takes: Takes | None,
        by: str,
        because: str,
        now: datetime,
    ) -> bool:
        """Write a step, if nobody has taken another since; whether it was written."""
        ...

    def settle(self, name: str, now: datetime) -> bool:
        """The way back is at its end; False when the source has gone elsewhere meanwhile."""
        ...

    def look_after(
        self, name: str, now: datetime, last_at: datetime | None, trouble: str | None
    ) -> None:
        """Note how its connection is doing; ``last_at`` None leaves what is known."""
        ...

    def keep_cursor(self, name: str, cursor: str) -> None:
        """Remember how far its database has been read."""
        ...


def way_on(mode: Mode) -> Mode | None:
    """The next step towards being live; None where there is none."""
    return {Mode.OFF: Mode.TAP, Mode.TAP: Mode.SHADOW, Mode.SHADOW: Mode.LIVE}.get(mode)


def ways_back(mode: Mode) -> Sequence[Mode]:
    """The steps that undo."""
    on = way_on(mode)
    return [one for one in STEPS[mode] if one is not on]
