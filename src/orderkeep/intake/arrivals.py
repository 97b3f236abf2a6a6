"""Messages of sources: what each is called, and what became of it; every one of them for ever.

An arrival is a message's row in the inbox of its source. It is written in the transaction that
makes the order, or that puts the message aside, so that after any crash the message is either known
or still at the broker.
"""

from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

import msgspec

from orderkeep.kernel.errors import Refused

LONGEST_ID = 200
"""Characters of a message's name, as in the inbox of our own envelopes."""


class Fate(StrEnum):
    """What became of a message."""

    ACCEPTED = "accepted"
    AGAIN = "again"
    """Its order was here already, with the same body."""
    FOLLOWED = "followed"
    """It said where an order of ours is at home: our copy is as far, or was already."""
    IGNORED = "ignored"
    """The mapping says that it is no order."""
    ELSEWHERE = "elsewhere"
    """The MES has the order by the old road: accepted, it would be made twice."""
    ASIDE = "aside"
    """It could not be taken: a person sees it, with its reason."""


class Arrival(msgspec.Struct, frozen=True):
    """A message of a source; ``body_sha256`` is the hash of its bytes as they came, in hex."""

    source: str
    message_id: str
    body_sha256: str
    lease_token: int | None = None
    """Of the look that found it in a database: kept only while that is the newest look."""

    @property
    def key(self) -> str:
        """The idempotency key: one source's names must not mean another's, nor an HTTP caller's."""
        return f"{self.source}/{self.message_id}"


class MessageChanged(Refused):
    """The message's id is known, and came with another body."""


def arrival_of(source: str, said_id: str | None, body: bytes, version: str | None) -> Arrival:
    """The name a message is known by for ever.

    ``said_id`` is the carrier's; without one its bytes name it, and the source's own ``version`` of
    what it sends, so that the same words said again later are another message.
    """
    body_sha256 = sha256(body).hexdigest()
    if not said_id:
        own = body_sha256 if version is None else sha256(f"{body_sha256}|{version}".encode())
        named = own if isinstance(own, str) else own.hexdigest()
        return Arrival(source, f"sha256:{named}", body_sha256)
    return Arrival(source, _short(said_id), body_sha256)


def _short(said_id: str) -> str:
    """An id that can be kept; cut off, two long ones could become the same."""
    if len(said_id) <= LONGEST_ID and said_id.isprintable():
        return said_id
    return f"sha256:{sha256(said_id.encode(errors='surrogatepass')).hexdigest()}"


def counter(source: str, fate: Fate) -> str:
    """The counter of a source's messages with a fate."""
    return f"source:{source}:{fate}"


class ArrivalStore(Protocol):
    """Messages of sources that became no order; those that did are kept with it."""

    def note(self, arrival: Arrival, fate: Fate, now: datetime) -> bool:
        """Remember a message in this unit of work; False when it is known already.

        Raises:
            SourceOvertaken: it was found by a look that is not the newest.
        """
        ...

    def fate(self, arrival: Arrival) -> Fate | None:
        """What became of a message; None when it never came, or came with another body."""
        ...

    def counts(self, source: str) -> dict[Fate, int]:
        """How many messages of a source met which fate."""
        ...
