"""RabbitMQ restarted, killed, paused, full, out of reach; messages doubled and turned around."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

import aio_pika

from orderkeep.adapters.rabbitmq.topology import EXCHANGE, UNROUTABLE, inbox_queue
from orderkeep.testing.amqp_road import admin
from orderkeep.testing.matrix.acts import run_sql
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.partition import netns_wire
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.wire import Line, Wire
from orderkeep.testing.matrix.works import Works
from orderkeep.testing.rabbitmq_node import RabbitNode

AWAY_S = 15.0
PAUSED_S = 30.0
OLD_ENOUGH_S = 8.0
"""A quorum queue that is younger when its node is killed may come back without a leader."""
HANDFUL, ROUNDS = 20, 8

Harm = Callable[[RabbitNode], None]


def cells() -> Iterator[Cell]:
    """What happens to a broker, to the line to it, and to what it carries."""
    for fault, harm in HARMS.items():
        yield Cell(SCALED_OUT, "rabbitmq", fault, partial(harmed, harm=harm))
    for line in (Line.SILENT, Line.DEAF, Line.CUT):
        fault = f"partition: {line.value} {AWAY_S:.0f} s"
        yield Cell(SCALED_OUT, "rabbitmq", fault, partial(partitioned, line=line))
    yield Cell(SCALED_OUT, "rabbitmq", f"partition: link down {AWAY_S:.0f} s", link_down)
    for fault, mischief in MISCHIEFS.items():
        yield Cell(SCALED_OUT, "rabbitmq", fault, partial(tampered, mischief=mischief))
    for profile in (EMBEDDED, SCALED_OUT):
        yield Cell(profile, "outbox", "every row published again, 5 times", published_again)


# --- the broker itself --------------------------------------------------------------------------


def restart(node: RabbitNode) -> None:
    """In an orderly way."""
    node.restart()


def stop_application(node: RabbitNode) -> None:
    """``rabbitmqctl stop_app`` and ``start_app``."""
    node.ctl("stop_app")
    time.sleep(3)
    node.ctl("start_app")


def kill(node: RabbitNode) -> None:
    """As a lost power supply would."""
    time.sleep(OLD_ENOUGH_S)
    node.kill()
    time.sleep(2)
    node.start()


def pause(node: RabbitNode) -> None:
    """Connections stay, and nobody answers."""
    node.pause()
    try:
        time.sleep(PAUSED_S)
    finally:
        node.resume()


def disk_alarm(node: RabbitNode) -> None:
    """It believes that its disk is nearly full, and takes nothing more."""
    node.ctl("set_disk_free_limit", "900000GB")
    time.sleep(AWAY_S)
    node.ctl("set_disk_free_limit", "50MB")


def memory_alarm(node: RabbitNode) -> None:
    """The same with its memory."""
    node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    time.sleep(AWAY_S)
    node.ctl("set_vm_memory_high_watermark", "0.4")


def close_connections(node: RabbitNode) -> None:
    """Everybody is sent away, again and again."""
    for _ in range(3):
        node.ctl("close_all_connections", "matrix")


HARMS: Mapping[str, Harm] = {
    "restart": restart,
    "stop_app, start_app": stop_application,
    "kill -9": kill,
    f"SIGSTOP {PAUSED_S:.0f} s": pause,
    f"disk alarm {AWAY_S:.0f} s": disk_alarm,
    f"memory alarm {AWAY_S:.0f} s": memory_alarm,
    "connections closed": close_connections,
}


def harmed(scene: Scene, harm: Harm) -> Verdict:
    """Do it while orders come in."""
    with scene.works() as works:
        return works.amid_orders(partial(harm, scene.servers.rabbit))


# --- the line to it -----------------------------------------------------------------------------


def partitioned(scene: Scene, line: Line) -> Verdict:
    """The line to it is not what it was, for a while."""
    port = scene.servers.rabbit.port
    with scene.servers.broker() as url, Wire(port) as wire:
        through = {"transport_url": url.replace(f":{port}/", f":{wire.port}/")}
        with scene.works(settings=through) as works:
            return works.amid_orders(partial(wire.be_for, AWAY_S, line))


def link_down(scene: Scene) -> Verdict:
    """The kernel drops every packet to it and from it."""
    port = scene.servers.rabbit.port
    with scene.servers.broker() as url, netns_wire(port) as link:
        through = {"transport_url": url.replace(f"127.0.0.1:{port}/", f"{link.address}/")}
        with scene.works(settings=through) as works:
            return works.amid_orders(partial(link.down_for, AWAY_S))


# --- what it carries ----------------------------------------------------------------------------

Mischief = Callable[[str, Works], Coroutine[Any, Any, None]]
ROADS = {"price.wanted": "quoting", "work_order.wanted": "bridge"}
"""What is carried, and to whom."""


async def doubled_and_turned(url: str, works: Works) -> None:
    """Somebody listens to what is carried, and sends it twice more, in another order."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        ear = await channel.declare_queue(exclusive=True)
        for kind in ROADS:
            await ear.bind(EXCHANGE, kind)
        for _ in range(ROUNDS):
            heard = [one async for one in _waiting(ear)]
            for one in works.chance.sample(heard * 2, 2 * len(heard)):
                name = inbox_queue(ROADS[one.routing_key or ""])
                await channel.default_exchange.publish(_copy(one), name)
            await asyncio.sleep(works.chance.random())


async def _waiting(queue: Any) -> AsyncIterator[Any]:
    while one := await queue.get(no_ack=True, fail=False):
        yield one


def _copy(one: Any) -> aio_pika.Message:
    return aio_pika.Message(
        one.body,
        headers=one.headers,
        content_type=one.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=one.message_id,
        timestamp=one.timestamp,
        type=one.type,
    )


async def given_back(url: str, works: Works) -> None:
    """Our consumer dies; another's takes its place, and gives back what it gets in any order."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=HANDFUL)
        for name in ROADS.values():
            queue = await channel.get_queue(inbox_queue(name), ensure=False)
            await queue.consume(partial(_give_back, works.chance))
        works.kill()
        await asyncio.sleep(ROUNDS)
    await asyncio.to_thread(works.again)


async def _give_back(chance: Random, one: Any) -> None:
    await asyncio.sleep(chance.random())
    await one.nack(requeue=True)


async def queues_deleted(url: str, works: Works) -> None:
    """Somebody deletes our queues, with what is in them."""
    async with admin(url) as harm:
        for name in (*map(inbox_queue, ROADS.values()), UNROUTABLE):
            await harm.queue_delete(name)
            await asyncio.sleep(works.chance.random())


async def exchange_deleted(url: str, _works: Works) -> None:
    """Somebody deletes the exchange that we publish to."""
    async with admin(url) as harm:
        await harm.exchange_delete(EXCHANGE)


MISCHIEFS: Mapping[str, Mischief] = {
    "messages doubled and turned around": doubled_and_turned,
    "messages taken and given back": given_back,
    "queues deleted": queues_deleted,
    "exchange deleted": exchange_deleted,
}


def tampered(scene: Scene, mischief: Mischief) -> Verdict:
    """Do it to the queues while orders come in."""
    with scene.servers.broker() as url, scene.works(settings={"transport_url": url}) as works:
        return works.amid_orders(lambda: asyncio.run(mischief(url, works)), "relay")


def published_again(scene: Scene) -> Verdict:
    """Whatever was carried once is carried again."""
    with scene.works() as works, works.clients() as clients:
        works.begin()
        for _ in range(5):
            clients.more()
            run_sql(works.product, "UPDATE outbox SET sent_at = NULL, leased_until = NULL")
        clients.more()
        return works.verdict(clients)
