"""A copy of what passes an existing exchange, taken so that the original cannot be hurt.

The queue is ours alone and bounded: when it is full it forgets its oldest copies, and refuses
nothing. It is exclusive, so it goes with our connection however that ends, and nothing is left at
the broker. Nothing is declared but this queue and its bindings.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from orderkeep.adapters.rabbitmq.link import Wire
from orderkeep.intake.mapping import Message

CONNECT_S = 10.0
CALL_S = 5.0
HEARTBEAT_S = 10
HELD = 100
"""Copies on their way to us; the others wait in the bounded queue."""


class Bound(msgspec.Struct, frozen=True):
    """What the queue of copies may hold before it forgets the oldest."""

    messages: int = 10_000
    size_bytes: int = 64 * 1024 * 1024

    @property
    def arguments(self) -> Mapping[str, str | int]:
        """As the broker is told."""
        return {
            "x-max-length": self.messages,
            "x-max-length-bytes": self.size_bytes,
            "x-overflow": "drop-head",
        }


async def listen(  # Everything passed in, by name.
    url: str,
    exchange: str,
    keys: Sequence[str],
    take: Callable[[Message], bool],
    *,
    seconds: float,
    ca_file: Path | None = None,
    bound: Bound = Bound(),  # noqa: B008  # Frozen.
    tapped: Callable[[], None] = lambda: None,
) -> None:
    """Hand copies to ``take`` until it answers False or the time is over.

    ``tapped`` is called when everything that passes from now on is copied.

    Raises:
        AMQPError, OSError, TimeoutError: the broker is away, or does not let us.
    """
    wire = Wire(url, "tap", HEARTBEAT_S, ca_file)
    try:
        await wire.connect(timeout=CONNECT_S)
        arrived: asyncio.Queue[Any] = asyncio.Queue(HELD)
        channel = await _copying(wire, exchange, keys, bound, arrived)
        tapped()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _hand_on(channel, arrived, take)
    finally:
        await wire.end(CALL_S, orderly=True)


async def _copying(
    wire: Wire, exchange: str, keys: Sequence[str], bound: Bound, arrived: "asyncio.Queue[Any]"
) -> Any:
    opened = await wire.channel(publisher_confirms=False)
    channel = await opened.get_underlay_channel()
    made = await channel.queue_declare(
        exclusive=True, auto_delete=True, arguments={**bound.arguments}, timeout=CALL_S
    )
    queue = str(made.queue)
    for key in keys:
        await channel.queue_bind(queue, exchange, routing_key=key, timeout=CALL_S)
    await channel.basic_qos(prefetch_count=HELD, timeout=CALL_S)
    await channel.basic_consume(queue, arrived.put, timeout=CALL_S)
    return channel


async def _hand_on(
    channel: Any, arrived: "asyncio.Queue[Any]", take: Callable[[Message], bool]
) -> None:
    while True:
        delivery = await arrived.get()
        wanted = take(message_of(delivery))
        await channel.basic_ack(delivery.delivery_tag)
        if not wanted:
            return


def message_of(delivery: Any) -> Message:
    """A delivery as mappings read it; the property ``type`` stands beside the headers."""
    properties = delivery.header.properties
    headers = {name: _text(value) for name, value in (properties.headers or {}).items()}
    said = {"type": properties.message_type} if properties.message_type else {}
    return Message(
        bytes(delivery.body),
        {**said, **headers},
        delivery.delivery.routing_key or "",
        properties.message_id or None,
    )


def _text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
