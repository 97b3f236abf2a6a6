"""Looks at a RabbitMQ over AMQP alone: passive declares, which change nothing and need few rights.

A passive declare tells whether a queue or an exchange is there, how many messages rest in a queue
and how many programs read it. It tells no settings: of those nothing is claimed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelNotFoundEntity

from orderkeep.adapters.rabbitmq_management import CannotLook
from orderkeep.adapters.trust import trusting, why_not
from orderkeep.doctor.snapshot import Overview, Queue, Sample, Snapshot, Unseen

ASKED: Final = frozenset({24})
"""The only rule that counts of messages and readers can answer."""
TIMEOUT_S: Final = 30.0


async def probe(
    url: str,
    queues: Sequence[str],
    exchanges: Sequence[str],
    seconds: float,
    *,
    ca_file: Path | None = None,
) -> Snapshot:
    """Two looks at named queues and exchanges.

    Raises:
        CannotLook: no connection, the address is none, or nothing is named.
    """
    if not queues and not exchanges:
        raise CannotLook("AMQP lists nothing: name what to look at with --queue and --exchange.")
    try:
        async with asyncio.timeout(TIMEOUT_S + seconds):
            # A context of ours: the address may not say that nobody is to be verified.
            connection = await aio_pika.connect(
                url, timeout=TIMEOUT_S, ssl_context=trusting(ca_file)
            )
            async with connection:
                first = await _sample(connection, url, queues, exchanges)
                await asyncio.sleep(seconds)
                second = await _sample(connection, url, queues, exchanges)
    except (AMQPError, OSError, TimeoutError, ValueError) as error:
        where = urlsplit(url).hostname
        if sentence := why_not(error):
            raise CannotLook(f"{where}: {sentence}") from error
        raise CannotLook(
            f"{where} does not let us in over AMQP: {type(error).__name__}."
        ) from error
    return Snapshot(first, second, seconds, asked=ASKED)


async def _sample(
    connection: Any, url: str, queues: Sequence[str], exchanges: Sequence[str]
) -> Sample:
    told = connection.transport.connection.server_properties
    vhost = unquote(urlsplit(url).path.removeprefix("/")) or "/"
    unseen = [Unseen("settings, programs, counters", "amqp")]
    seen = []
    for name in queues:
        found = await _passively(connection, unseen, f"queue {name}", _queue(name, vhost))
        seen += [found] if found else []
    for name in exchanges:
        await _passively(connection, unseen, f"exchange {name}", _exchange(name))
    overview = Overview(
        str(told.get("version", "0")), cluster_name=str(told.get("cluster_name", ""))
    )
    return Sample(overview=overview, queues=seen, unseen=unseen)


def _queue(name: str, vhost: str) -> Callable[[Any], Awaitable[Queue]]:
    async def ask(channel: Any) -> Queue:
        told = (await channel.declare_queue(name, passive=True)).declaration_result
        return Queue(name, vhost, messages=told.message_count, consumers=told.consumer_count)

    return ask


def _exchange(name: str) -> Callable[[Any], Awaitable[None]]:
    async def ask(channel: Any) -> None:
        await channel.get_exchange(name, ensure=True)

    return ask


async def _passively(
    connection: Any, unseen: list[Unseen], what: str, ask: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Ask on a channel of its own: the broker closes the channel of a question it refuses."""
    try:
        async with connection.channel() as channel:
            return await ask(channel)
    except ChannelNotFoundEntity:
        unseen.append(Unseen(what, "absent"))
    except ChannelClosed as refused:
        unseen.append(Unseen(what, f"answer:{type(refused).__name__}"))
    return None
