"""Declares what has to be at the broker, and says what is there but different. Deletes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed

from orderkeep.adapters.rabbitmq.topology import (
    Binding,
    Exchange,
    Queue,
    Topology,
    topology,
    version_of,
)

Thing = Exchange | Queue | Binding
Ask = Callable[[AbstractChannel], Awaitable[object]]

log = structlog.get_logger()


async def prepare(
    connection: aio_pika.Connection,
    routes: Mapping[str, Sequence[str]],
    seconds: float,
    max_length: int | None = None,
    only: str | None = None,
    turns: asyncio.Lock | None = None,
) -> tuple[str, ...]:
    """Declare what these routes need, or only what leads to one queue.

    What differs or does not answer is logged, returned in sentences, and used as it is. Who shares
    ``turns`` declares in turn: two that make one queue at once are both thrown out by the broker.
    """
    wanted = topology(routes, version_of_broker(connection), max_length)
    async with turns or asyncio.Lock():
        told = await declare(connection, wanted.around(only) if only else wanted, seconds)
    for sentence in told:
        log.error("broker.drifted", what=sentence)
    return tuple(told)


def version_of_broker(connection: aio_pika.Connection) -> tuple[int, ...]:
    """What the broker said of itself when we connected."""
    assert connection.transport is not None  # noqa: S101  # It is connected.
    return version_of(connection.transport.connection.server_properties.get("version"))


async def declare(connection: aio_pika.Connection, wanted: Topology, seconds: float) -> list[str]:
    """Make what is missing; what is there but different stays, and is told in sentences.

    ``seconds`` is the deadline of each single declaration.
    """
    told: list[str] = []
    # One after the other what others stand on; beside each other what may hang on its own.
    for things in (wanted.exchanges, wanted.queues, wanted.bindings):
        told += await _each(connection, things, seconds)
    return told


async def _each(
    connection: aio_pika.Connection, things: Iterable[Thing], seconds: float
) -> list[str]:
    """Declare things on channels of their own: one that hangs holds up no other."""

    async def one(thing: Thing) -> list[str]:
        declaring = _Declaring(connection, seconds)
        told = await declaring.try_(_sentence_head(thing), _asking(thing))
        await declaring.close()
        return told

    return [sentence for told in await asyncio.gather(*map(one, things)) for sentence in told]


async def drift(connection: aio_pika.Connection, wanted: Topology, seconds: float) -> list[str]:
    """What is missing or different, in sentences; changes nothing.

    Over AMQP bindings cannot be seen; they are declared anew at every connection.
    """
    looking = _Declaring(connection, seconds)
    told: list[str] = []
    things: tuple[Thing, ...] = (*wanted.exchanges, *wanted.queues)
    for thing in things:
        missing = await looking.try_(_sentence_head(thing), _asking(thing, passive=True))
        # Declaring what is there changes nothing, and says how it differs.
        told += missing or await looking.try_(_sentence_head(thing), _asking(thing))
    await looking.close()
    return told


class _Declaring:
    """Declarations one after the other; the broker closes the channel of each that it refuses."""

    def __init__(self, connection: aio_pika.Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._channel: AbstractChannel | None = None

    async def try_(self, head: str, ask: Ask) -> list[str]:
        try:
            async with asyncio.timeout(self._seconds):
                await ask(await self._open())
        except ChannelNotFoundEntity:
            self._channel = None
            return [f"{head} is missing."]
        except ChannelPreconditionFailed as refused:
            self._channel = None
            return [f"{head} differs: {refused}"]
        except ChannelClosed as refused:
            self._channel = None
            return [f"{head} could not be declared: {refused}"]
        except TimeoutError:
            self._channel = None
            return [f"{head} did not answer within {self._seconds:g} s."]
        return []

    async def _open(self) -> AbstractChannel:
        if self._channel is None:
            self._channel = await self._connection.channel(publisher_confirms=False)
        return self._channel

    async def close(self) -> None:
        if self._channel is not None:
            async with asyncio.timeout(self._seconds):
                await self._channel.close()


def _asking(thing: Thing, *, passive: bool = False) -> Ask:
    async def ask(opened: AbstractChannel) -> object:
        channel = await opened.get_underlay_channel()
        match thing:
            case Exchange(name, type, arguments):
                return await channel.exchange_declare(
                    name,
                    exchange_type=type,
                    durable=True,
                    passive=passive,
                    arguments=dict(arguments),
                )
            case Queue(name, arguments):
                return await channel.queue_declare(
                    name, durable=True, passive=passive, arguments=dict(arguments)
                )
            case Binding(exchange, queue, key):
                return await channel.queue_bind(queue, exchange, key)

    return ask


def _sentence_head(thing: Thing) -> str:
    match thing:
        case Exchange():
            return f"Exchange {thing.name}"
        case Queue():
            return f"Queue {thing.name}"
        case Binding():
            return f"Binding of {thing.queue} to {thing.exchange} by {thing.key or 'everything'}"
