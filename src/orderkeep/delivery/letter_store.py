"""What sending dead letters again asks of the store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from orderkeep.delivery.dead_letters import (
    Entry,
    Group,
    GroupNote,
    Item,
    Letter,
    Parking,
    Replay,
    Retrying,
    Source,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.ids import EnvelopeId


class DeadLetterStore(Protocol):
    """Dead letters and their replays."""

    def page(
        self, source: Source, before: int | None, limit: int, fingerprint: str | None = None
    ) -> Sequence[Letter]:
        """Dead letters of a source, or those of one group there, the newest first.

        At most ``limit`` of those that are older than the row ``before``.
        """
        ...

    def unowned_since(self) -> datetime | None:
        """Since when the oldest letter waits that is nobody's; None when each is somebody's.

        A letter is somebody's that is parked, or whose group has an owner.
        """
        ...

    def groups(self, limit: int) -> Sequence[Group]:
        """Groups by cause, the one that grew last first; no more than ``limit``.

        Each counts all of its letters, however many there are. What is parked stands apart.
        """
        ...

    def group(self, fingerprint: str, *, parked: bool) -> Group | None:
        """One of them; None when nothing of it lies here."""
        ...

    def trend(self, now: datetime) -> Mapping[tuple[str, bool], Sequence[int]]:
        """How many died on each of the last days, the oldest first, by fingerprint and parked.

        Of a group that has not grown since there is none.
        """
        ...

    def members(self, fingerprint: str, *, parked: bool, limit: int) -> Sequence[Letter]:
        """The letters of a group, the newest first."""
        ...

    def frozen(
        self, fingerprint: str, cutoff: int | None, limit: int, row: int | None = None
    ) -> Sequence[Letter]:
        """The letters of a group that nobody has parked, the oldest first.

        What is newer than the row ``cutoff`` is not in it. ``row`` asks for this one alone.
        """
        ...

    def envelope(self, row: int) -> tuple[Letter, Envelope] | None:
        """A whole dead letter of an inbox, with its body; None when it is none (any more)."""
        ...

    def body(self, source: Source, row: int) -> bytes:
        """What a dead letter says.

        Raises:
            LetterNotFound: there is none.
        """
        ...

    def waiting(self) -> Mapping[str, int]:
        """How many dead letters nobody has parked, by consumer; what is in quarantine included."""
        ...

    def died_since(self, since: datetime) -> int:
        """How many dead letters that nobody has parked died after an instant."""
        ...

    def retrying(self, limit: int) -> Sequence[Retrying]:
        """What has failed and will be tried again by itself, the next first."""
        ...

    def notes(self) -> Mapping[str, GroupNote]:
        """What people have written down about groups, by fingerprint."""
        ...

    def note(self, fingerprint: str, note: GroupNote) -> None:
        """Write down whose a group is, in place of what was there."""
        ...

    def park(self, fingerprint: str, cutoff: int, by: str, why: str, now: datetime) -> int:
        """Lay a group aside on purpose, as far as ``cutoff``; returns how many letters."""
        ...

    def parking(self, letter: Letter) -> Parking | None:
        """Who laid a letter aside; None when nobody did."""
        ...

    def unpark(self, fingerprint: str, cutoff: int) -> int:
        """Take what is parked of a group up again; returns how many letters."""
        ...

    def revive(self, row: int, body: bytes | None, now: datetime) -> bool:
        """Put a dead letter back into its inbox, under its id; False when it is not dead."""
        ...

    def deliver(
        self, row: int, envelope: Envelope, consumers: Sequence[str], now: datetime
    ) -> bool:
        """Give a letter that nobody took to those who take it now; False when it is not dead."""
        ...

    def begin_alone(self, fingerprint: str) -> None:
        """Until this unit's commit nobody else begins a replay of a cause: they wait for it.

        What is read after it holds every replay of the cause that was begun before.
        """
        ...

    def add(self, replay: Replay, entries: Sequence[Entry]) -> None:
        """Keep a new replay."""
        ...

    def replay(self, id_: str) -> Replay:
        """One replay.

        Raises:
            LetterNotFound: there is none.
        """
        ...

    def replays(self, limit: int) -> Sequence[Replay]:
        """The newest replays."""
        ...

    def due(self, now: datetime) -> Sequence[Replay]:
        """Running replays whose next step has come."""
        ...

    def change(self, replay: Replay, **columns: Any) -> Replay:
        """Write columns of a replay as it was read.

        Raises:
            ReplayChanged: it is not as it was read.
        """
        ...

    def entries(
        self, id_: str, state: Item | None = None, limit: int | None = None
    ) -> Sequence[Entry]:
        """The letters of a replay, or those that are so far, in the order they go."""
        ...

    def states(self, ids: Sequence[str]) -> Mapping[str, Mapping[Item, int]]:
        """How many letters of replays are how far, by replay."""
        ...

    def unapproved(self, fingerprint: str, since: datetime) -> int:
        """How many letters of a cause replays have sent, or will, that nobody had to approve.

        Of replays that were begun since then.
        """
        ...

    def mark(self, id_: str, letter_row: int, state: Item, now: datetime) -> None:
        """Write down how far a letter of a replay has come."""
        ...

    def outcome(self, row: int) -> Item:
        """What became of a letter that was sent: ``SENT`` while it waits or is tried."""
        ...

    def arrived(self, id_: EnvelopeId, consumers: Sequence[str]) -> Item:
        """The same of an envelope that was made from what could not be read."""
        ...

    def release(self, row: int, now: datetime) -> bool:
        """Take a message out of quarantine, as it goes on mended; False when it is not there."""
        ...


class ReplayWork(Protocol):
    """A unit of work on dead letters."""

    @property
    def dead_letters(self) -> DeadLetterStore: ...

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...
