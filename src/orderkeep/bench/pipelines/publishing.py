"""Commit, then publish: what most shops have, without care and with all that a broker offers.

Naive is what the libraries do by default. Careful adds persistent messages, a quorum queue and an
ack after the work. Neither keeps the promise: an order is committed and its message is not.
"""

import asyncio
from typing import Any

import aio_pika
import uvloop

from orderkeep.bench.pipelines.lines import Setup, serve, told, until_stopped
from orderkeep.bench.pipelines.shop import BODY, KEEP, mes_at, orders_at

NAIVE, CAREFUL = "naive", "careful"
PREFETCH = 64
_PUBLISH_S = 5.0


async def api(setup: Setup) -> None:
    """Commit the order, publish it, answer."""
    pool = await orders_at(setup.orders)
    careful = setup.broken == CAREFUL
    exchange = (await _queue(setup, careful=careful))[0].default_exchange
    mode = aio_pika.DeliveryMode.PERSISTENT if careful else None

    async def accept(ref: str) -> str:
        await pool.execute(KEEP, ref, BODY)
        message = aio_pika.Message(ref.encode(), delivery_mode=mode)
        await exchange.publish(message, setup.broken, timeout=_PUBLISH_S)
        return ref

    await serve(setup.port, accept)


async def consumer(setup: Setup) -> None:
    """Take a message, have the MES make it."""
    mes = await mes_at(setup.mes, setup.work_ms, setup.at_once)
    careful = setup.broken == CAREFUL
    channel, queue = await _queue(setup, careful=careful)

    async def work(message: Any) -> None:
        await mes.make(message.body.decode())
        if careful:
            await message.ack()

    if careful:
        await channel.set_qos(prefetch_count=PREFETCH)
    await queue.consume(work, no_ack=not careful)
    await until_stopped()


async def _queue(setup: Setup, *, careful: bool) -> tuple[Any, Any]:
    connection = await aio_pika.connect_robust(setup.amqp)
    channel = await connection.channel()
    kind: dict[str, Any] = {"x-queue-type": "quorum"} if careful else {}
    return channel, await channel.declare_queue(setup.broken, durable=True, arguments=kind)


if __name__ == "__main__":
    half, given = told()
    uvloop.install()
    asyncio.run(api(given) if half == "api" else consumer(given))
