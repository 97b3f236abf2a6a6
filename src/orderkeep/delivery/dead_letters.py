"""Dead letters, and what may be done with them: decisions, and nothing else.

A dead letter is an envelope put aside with its reason. Letters with one cause are a group; a person
sends a frozen part of it again, a few first and more while nothing dies anew.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

import msgspec

from orderkeep.kernel.errors import Conflict, Refused

CANARY = (1, 2, 5, 20, 50, 100)
"""How many letters go in each step of a replay; the last number for all further steps."""
FOUR_EYES_ABOVE = 100
"""A replay of more letters needs a second person; an edited one always does."""
FOUR_EYES_WITHIN = timedelta(hours=24)
"""Replays of one cause within that count together."""
MOST = 10_000
"""Letters that one replay may hold, the oldest of its group; and groups that are listed at most."""
TREND_DAYS = 14
"""How far back a group's trend goes. A day is 24 hours that end now or some days ago, so that no
time zone is needed."""
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
    """No envelope, or a known id with another body: sent only once a person has mended it."""


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
    fingerprint: str
    """``fingerprint_of`` what it died of, written when it died."""
    replays: int = 0
    """How often it has been sent again before."""
    parked: bool = False


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
    """What is parked stands apart, under the same fingerprint."""
    replayed: int
    """The most often that any letter of it has been sent again."""
    newest: int
    """The newest row that is in it."""


class GroupNote(msgspec.Struct, frozen=True):
    """Whose a group is and what people know about it; it stays when the group comes again."""

    owner: str
    note: str
    by: str
    at: datetime
    release: str | None = None
    """The release that mends the cause, as people call it, or its address."""


class Parking(msgspec.Struct, frozen=True):
    """Who laid a letter aside on purpose, and why."""

    by: str
    why: str
    at: datetime


class Retrying(msgspec.Struct, frozen=True):
    """An envelope whose handling has failed and that will be tried again by itself."""

    consumer: str
    kind: str
    order_key: str
    attempts: int
    next_at: datetime
    why: str


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
    """One letter of a replay; bodies only where it was edited.

    Of what could not be read, ``body_after`` is a whole envelope, and ``sent_as`` its id.
    """

    letter_row: int
    order_key: str | None
    state: Item
    sent_at: datetime | None = None
    body_before: bytes | None = None
    body_after: bytes | None = None
    source: Source = Source.INBOX
    sent_as: str | None = None


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
    redirect_to: str | None = None
    """Somebody else who takes their kind, in place of who could not handle them."""
    seen_by: str | None = None
    """Who has seen how it ended."""
    release: str | None = None
    """The release that mended the cause, as far as somebody said it."""


def told_of(why: str, release: str | None, at_machine: str | None = None) -> str:
    """Why something was done, for which release and where, as the audit keeps it.

    >>> told_of("the mapping is mended", "2026.11")
    'the mapping is mended (release 2026.11)'
    >>> told_of("mended", None, "root")
    "mended (at the machine's command line, by root)"
    """
    facts = [f"release {release}"] if release else []
    facts += [f"at the machine's command line, by {at_machine}"] if at_machine else []
    return f"{why} ({'; '.join(facts)})" if facts else why


def cause_of(why: str) -> str:
    """A reason without what differs from letter to letter: numbers and identities.

    >>> cause_of("StepRefused: OK-000013/2 is at step 7")
    'StepRefused: … is at step …'
    """
    return _NUMBERS.sub("…", why)


def fingerprint_of(source: Source, consumer: str, kind: str | None, why: str) -> str:
    """The same for every letter that died of the same cause at the same place: 16 hex digits."""
    cause = "\n".join((source, consumer, kind or "", cause_of(why)))
    return sha256(cause.encode()).hexdigest()[:16]


def needs_second_person(
    count: int, *, edited: bool, redirected: bool = False, lately: int = 0
) -> bool:
    """Whether somebody else has to approve a replay.

    ``lately`` letters of the same cause went ``FOUR_EYES_WITHIN`` without that: many small replays
    are a large one.
    """
    return edited or redirected or lately + count > FOUR_EYES_ABOVE


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
