"""PgQueuer: the job is queued in the order's own transaction, in the order's own database."""

import asyncio
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import QueueManager
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from orderkeep.bench.pipelines.lines import Setup, serve, told, until_stopped
from orderkeep.bench.pipelines.shop import BODY, KEEP, mes_at, orders_at

ENTRYPOINT = "deliver"
BATCH = 100


async def prepare(setup: Setup) -> None:
    """Make its tables, once."""
    connection = await asyncpg.connect(setup.orders)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await connection.close()


async def api(setup: Setup) -> None:
    """Order and job in one commit, then the answer."""
    pool = await orders_at(setup.orders)

    async def accept(ref: str) -> str:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(KEEP, ref, BODY)
            await Queries(AsyncpgDriver(connection)).enqueue(ENTRYPOINT, ref.encode())
        return ref

    await serve(setup.port, accept)


async def consumer(setup: Setup) -> None:
    """Work jobs off."""
    mes = await mes_at(setup.mes, setup.work_ms, setup.at_once)
    connection = await asyncpg.connect(setup.orders)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))

    @manager.entrypoint(ENTRYPOINT)
    async def deliver(job: Job) -> None:
        await mes.make((job.payload or b"").decode())

    running = asyncio.create_task(manager.run(timedelta(seconds=1), batch_size=BATCH))
    await until_stopped()
    running.cancel()


if __name__ == "__main__":
    half, given = told()
    uvloop.install()
    asyncio.run({"prepare": prepare, "api": api, "consumer": consumer}[half](given))
