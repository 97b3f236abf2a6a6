"""DBOS: a workflow of two steps, one keeps the order and one has the MES make it.

It accepts and delivers in one process, which is how it is meant to be used.
"""

import asyncio

from dbos import DBOS

from orderkeep.bench.pipelines.lines import Setup, serve, told
from orderkeep.bench.pipelines.shop import BODY, KEEP, Mes, mes_at, orders_at


async def api(setup: Setup) -> None:
    """The answer goes out when the workflow is on disk; it goes on by itself."""
    pool = await orders_at(setup.orders)
    mes: Mes = await mes_at(setup.mes, setup.work_ms, setup.at_once)
    DBOS(config={"name": "orders", "system_database_url": setup.orders, "log_level": "ERROR"})

    @DBOS.step()
    async def keep(ref: str) -> None:
        await pool.execute(KEEP, ref, BODY)

    @DBOS.step()
    async def make(ref: str) -> None:
        await mes.make(ref)

    @DBOS.workflow()
    async def deliver(ref: str) -> None:
        await keep(ref)
        await make(ref)

    DBOS.launch()

    async def accept(ref: str) -> str:
        await DBOS.start_workflow_async(deliver, ref)
        return ref

    await serve(setup.port, accept)


if __name__ == "__main__":
    _, given = told()
    asyncio.run(api(given))
