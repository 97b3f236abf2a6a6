"""What has to be at the broker: one description, declared at every connection.

A kind is a routing key. Every consumer has a quorum queue of its own; what no queue takes goes to
the queue of the unroutable, what is delivered too often to the dead letters of its consumer.
"""

from collections.abc import Mapping, Sequence

import msgspec

EXCHANGE = "orderkeep.envelopes"
UNROUTABLE = "orderkeep.unroutable"
"""The alternate exchange, and the queue behind it."""
DEAD = "orderkeep.dead"

DELIVERY_LIMIT = 50
"""Deliveries before an envelope is a dead letter. We never refuse one, so each of them means that
a process died, or its store failed, between delivery and ack."""

AT_LEAST_ONCE_SINCE = (3, 10)
LIMITED_SINCE = (4, 0)
"""Without a word of ours such a broker throws away what was delivered twenty times."""
ENDLESS = 1_000_000
"""Deliveries of what lies at the end of the road, from where no dead letter goes on."""

Arguments = Mapping[str, str | int | bool]


class Exchange(msgspec.Struct, frozen=True):
    """A durable exchange."""

    name: str
    type: str
    arguments: Arguments = {}


class Queue(msgspec.Struct, frozen=True):
    """A durable quorum queue."""

    name: str
    arguments: Arguments


class Binding(msgspec.Struct, frozen=True):
    """What leads from an exchange to a queue."""

    exchange: str
    queue: str
    key: str


class Topology(msgspec.Struct, frozen=True):
    """Everything that has to be there, in the order in which it can be declared."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]

    def around(self, queue: str) -> "Topology":
        """What whoever consumes from one queue needs: it, and what leads to it."""
        return Topology(
            self.exchanges,
            tuple(one for one in self.queues if one.name == queue),
            tuple(one for one in self.bindings if one.queue == queue),
        )


def inbox_queue(consumer: str) -> str:
    """Where envelopes wait for a consumer."""
    return f"orderkeep.inbox.{consumer}"


def dead_queue(consumer: str) -> str:
    """Where a consumer's dead letters lie."""
    return f"{DEAD}.{consumer}"


def topology(
    routes: Mapping[str, Sequence[str]],
    version: tuple[int, ...] = AT_LEAST_ONCE_SINCE,
    max_length: int | None = None,
) -> Topology:
    """What has to be there for these routes.

    Args:
        routes: consumers by kind, as the embedded transport has them.
        version: of the broker; what an older one does not know is left out.
        max_length: messages that may wait in a consumer's queue; it then refuses more (a nack),
            and they wait in the outbox.
    """
    consumers = sorted({consumer for theirs in routes.values() for consumer in theirs})
    return Topology(
        exchanges=(
            Exchange(UNROUTABLE, "fanout"),
            Exchange(DEAD, "direct"),
            Exchange(EXCHANGE, "direct", {"alternate-exchange": UNROUTABLE}),
        ),
        queues=(
            Queue(UNROUTABLE, _last(version)),
            *(Queue(dead_queue(consumer), _last(version)) for consumer in consumers),
            *(
                Queue(inbox_queue(consumer), _inbox(consumer, version, max_length))
                for consumer in consumers
            ),
        ),
        bindings=(
            Binding(UNROUTABLE, UNROUTABLE, ""),
            *(Binding(DEAD, dead_queue(consumer), consumer) for consumer in consumers),
            *(
                Binding(EXCHANGE, inbox_queue(consumer), kind)
                for kind, theirs in sorted(routes.items())
                for consumer in theirs
            ),
        ),
    )


# Of several processes one receives, and the others stand by: two would overtake each other.
_QUORUM: Arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}


def _last(version: tuple[int, ...]) -> Arguments:
    return {**_QUORUM, "x-delivery-limit": ENDLESS} if version >= LIMITED_SINCE else _QUORUM


def _inbox(consumer: str, version: tuple[int, ...], max_length: int | None) -> Arguments:
    arguments: dict[str, str | int | bool] = {
        **_QUORUM,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": consumer,
        # Drop-head, the default, would throw away the oldest; at-least-once asks for this as well.
        "x-overflow": "reject-publish",
    }
    if version >= AT_LEAST_ONCE_SINCE:
        arguments["x-dead-letter-strategy"] = "at-least-once"
    if max_length is not None:
        arguments["x-max-length"] = max_length
    return arguments


def version_of(said: object) -> tuple[int, ...]:
    """The broker's version from its own words, such as ``3.10.8``; (0,) when it says nothing."""
    parts = str(said).split(".")[:2]
    return tuple(int(part) for part in parts) if all(p.isdigit() for p in parts) else (0,)
