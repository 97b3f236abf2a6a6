"""Where a delivery belongs: in its consumer's inbox, among the dead letters, or aside."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from orderkeep.adapters.embedded import UNROUTED, put_aside
from orderkeep.adapters.rabbitmq.message import NotAnEnvelope, envelope, foreign_id
from orderkeep.delivery import sentences as say
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore


class KeepWork(Protocol):
    """A unit of work on the inbox."""

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


class Read(msgspec.Struct, frozen=True):
    """A delivery, read; ``envelope`` is None if it is not one, and ``why`` says what is wrong."""

    id: str | None
    body: bytes
    envelope: Envelope | None
    why: str
    redelivered: bool
    death: str
    """Why the broker took it for a dead letter; empty if it did not."""


Keep = Callable[[KeepWork, Sequence[Read], datetime], int]
"""Puts envelopes where they belong, in the given unit of work; returns how many were new."""


def read(delivery: Any) -> Read:
    """Read what the broker handed over; whatever it is, it can be kept."""
    properties = delivery.header.properties
    body, found, why = bytes(delivery.body), None, ""
    try:
        found = envelope(properties.headers, body)
    except NotAnEnvelope as error:
        why = say.NOT_AN_ENVELOPE(quote=error)
    death = death_of(properties.headers)
    return Read(
        foreign_id(properties.message_id),
        body,
        found,
        "; ".join(filter(None, (death, why))),
        bool(delivery.delivery.redelivered),
        death,
    )


def death_of(headers: Mapping[str, Any] | None) -> str:
    """What a broker's ``x-death`` header says about the newest death, as a sentence."""
    deaths = (headers or {}).get("x-death")
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], dict):
        return ""
    newest = deaths[0]
    reason, queue = _plain(newest.get("reason")), _plain(newest.get("queue"))
    count = newest.get("count")
    if isinstance(count, int) and count > 1:
        return say.BROKER_DIED_TIMES(death=reason, queue=queue, n=count)
    return say.BROKER_DIED(death=reason, queue=queue)


def _plain(value: object) -> str:
    return str(value).replace("\x00", "")[:200]


def keep_for(consumer: str) -> Keep:
    """Keeps envelopes in the inbox of one consumer."""

    def keep(work: KeepWork, found: Sequence[Read], now: datetime) -> int:
        return work.inbox.receive(consumer, envelopes_of(found), now)

    return keep


def keep_dead(consumer: str) -> Keep:
    """Keeps what the broker gave up on as dead letters of its consumer, with the broker's reason.

    What the consumer has received all the same, before its ack was lost, is no dead letter.
    """

    def keep(work: KeepWork, found: Sequence[Read], now: datetime) -> int:
        new = 0
        for one, theirs in zip(found, envelopes_of(found), strict=False):
            if work.inbox.receive(consumer, [theirs], now):
                work.inbox.bury(consumer, theirs.id, now, one.death or say.BROKER_DEAD())
                new += 1
        return new

    return keep


def keep_unrouted(routes: Mapping[str, Sequence[str]]) -> Keep:
    """What no queue took: a kind nobody knows is put aside and shown.

    A kind that somebody does take came here because a queue or binding is missing; it goes to
    whom it is meant for, as if it had been there.
    """

    def keep(work: KeepWork, found: Sequence[Read], now: datetime) -> int:
        new = 0
        for one in found:
            for consumer in routes.get(one.envelope.kind, ()) if one.envelope else ():
                new += keep_for(consumer)(work, [one], now)
                work.wake(f"inbox:{consumer}")
        return new + put_aside(work, unknown(found, routes), now)

    return keep


def unknown(found: Sequence[Read], routes: Mapping[str, Sequence[str]]) -> list[Envelope]:
    """The envelopes of kinds that nobody takes."""
    return [one for one in envelopes_of(found) if one.kind not in routes]


def set_aside(work: KeepWork, consumer: str, found: Sequence[Read], now: datetime) -> None:
    """Quarantine what is no envelope."""
    for one in found:
        if one.envelope is None:
            work.inbox.set_aside(consumer, one.id, one.body, one.why, now)


def envelopes_of(found: Sequence[Read]) -> list[Envelope]:
    """What of it is an envelope."""
    return [one.envelope for one in found if one.envelope]


__all__ = [
    "UNROUTED",
    "Keep",
    "KeepWork",
    "Read",
    "death_of",
    "envelopes_of",
    "keep_dead",
    "keep_for",
    "keep_unrouted",
    "read",
    "set_aside",
    "unknown",
]
