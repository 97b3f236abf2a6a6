"""Dead letters, and what may be done with them: decisions, and nothing else.

A dead letter is an envelope put aside with its reason. Letters with one cause are a group; a person
sends a frozen part of it again, a few first and more while nothing dies anew.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

import msgspec

from orderkeep.kernel.errors import Conflict, Refused

CANARY = (1, 2, 5, 20, 50, 100)
"""How many letters go in each step of a replay; the last number for all further steps."""
FOUR_EYES_ABOVE = 100
"""A replay of more letters needs a second person; an edited one always does."""
MOST = 10_000
"""Letters that are looked at, and that one replay may hold."""
SETTLE_WITHIN = timedelta(minutes=30)
"""What has been sent has to end within this; longer than all tries of an envelope together."""

_NUMBERS = re.compile(r"OK-\d+(?:/\d+)?|[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


class LetterNotFound(Refused):
    """There is no such dead letter, group or replay."""


class ReplayRefused(Refused):
    """Not possible as the replay or the letters are."""


class ReplayChanged(Conflict):
    """Somebody has changed the replay meanwhile."""


class Source(StrEnum):
    """Where a dead letter lies."""

    INBOX = "inbox"
    """A whole envelope that nobody takes, or that its receiver could not handle."""
    QUARANTINE = "quarantine"
    """No envelope, or a known id with another body: it has nobody to be sent to."""


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, without its body."""

    source: Source
    row: int
    consumer: str
    kind: str | None
    order_key: str | None
    message_id: str | None
    first_at: datetime
    died_at: datetime
    attempts: int
    why: str
    replays: int = 0
    """How often it has been sent again before."""
    parked: bool = False

    @property
    def fingerprint(self) -> str:
        """The same for every letter that died of the same cause at the same place."""
        cause = "\n".join((self.source, self.consumer, self.kind or "", cause_of(self.why)))
        return sha256(cause.encode()).hexdigest()[:16]


class Group(msgspec.Struct, frozen=True):
    """Letters with one cause."""

    fingerprint: str
    source: Source
    consumer: str
    kind: str | None
    cause: str
    count: int
    orders: int
    first_at: datetime
    last_at: datetime
    parked: bool
    replayed: int
    """The most often that any letter of it has been sent again."""


class Verdict(StrEnum):
    """What sending a letter again would do."""

    SEND = "send"
    DONE = "done"
    """Its effect is there already."""
    GONE = "gone"
    """It is no dead letter any more."""
    NOWHERE = "nowhere"
    """Nobody takes it."""


class State(StrEnum):
    """How far a replay has come."""

    WAITING = "waiting_approval"
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    CANCELLED = "cancelled"


class Item(StrEnum):
    """How far one letter of a replay has come."""

    WAITING = "waiting"
    SENT = "sent"
    HANDLED = "handled"
    DIED = "died"
    SKIPPED = "skipped"


class Entry(msgspec.Struct, frozen=True):
    """One letter of a replay; bodies only where it was edited."""

    letter_row: int
    order_key: str | None
    state: Item
    sent_at: datetime | None = None
    body_before: bytes | None = None
    body_after: bytes | None = None


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was done to a replay."""

    at: datetime
    by: str
    what: str
    why: str = ""


class Replay(msgspec.Struct, frozen=True):
    """Sending a frozen set of letters again; ``cutoff`` is the newest row that is in it."""

    id: str
    version: int
    fingerprint: str
    state: State
    cutoff: int
    per_minute: int
    step: int
    reason: str
    edited: bool
    started_by: str
    started_at: datetime
    next_at: datetime
    trail: tuple[Trace, ...]
    approved_by: str | None = None


def cause_of(why: str) -> str:
    """A reason without what differs from letter to letter: numbers and identities.

    >>> cause_of("StepRefused: OK-000013/2 is at step 7")
    'StepRefused: … is at step …'
    """
    return _NUMBERS.sub("…", why)


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """Groups by cause, the one that grew last first; what is parked stands apart."""
    members: dict[tuple[str, bool], list[Letter]] = {}
    for letter in letters:
        members.setdefault((letter.fingerprint, letter.parked), []).append(letter)
    groups = [_group(some) for some in members.values()]
    return sorted(groups, key=lambda group: group.last_at, reverse=True)


def _group(letters: Sequence[Letter]) -> Group:
    some = letters[0]
    return Group(
        fingerprint=some.fingerprint,
        source=some.source,
        consumer=some.consumer,
        kind=some.kind,
        cause=cause_of(some.why),
        count=len(letters),
        orders=len({letter.order_key for letter in letters if letter.order_key}),
        first_at=min(letter.first_at for letter in letters),
        last_at=max(letter.died_at for letter in letters),
        parked=some.parked,
        replayed=max(letter.replays for letter in letters),
    )


def frozen(letters: Iterable[Letter], fingerprint: str, cutoff: int | None) -> list[Letter]:
    """The letters of a group that were there at the cut-off: what dies later is not in it."""
    return [
        letter
        for letter in letters
        if letter.fingerprint == fingerprint
        and not letter.parked
        and (cutoff is None or letter.row <= cutoff)
    ]


def needs_second_person(count: int, *, edited: bool) -> bool:
    """Whether somebody else has to approve a replay."""
    return edited or count > FOUR_EYES_ABOVE


def batch_size(step: int, per_minute: int) -> int:
    """How many letters go in a step: never more than in a minute at the chosen rate."""
    return min(CANARY[min(step, len(CANARY) - 1)], per_minute)


def rest_after(batch: int, per_minute: int) -> timedelta:
    """How long to wait after a batch, so that the rate is kept."""
    return timedelta(minutes=batch / per_minute)


def may_go_on(sent: Iterable[Item], since: datetime, now: datetime) -> str | None:
    """What stops a replay, or nothing: a letter that died again, or one that does not end."""
    states = list(sent)
    if Item.DIED in states:
        return "died_again"
    if Item.SENT in states and now - since > SETTLE_WITHIN:
        return "no_outcome"
    return None
