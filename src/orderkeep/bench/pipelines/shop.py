"""What peers are made of besides their broker: a table of orders, and a MES that is one INSERT."""

import asyncio
from typing import Any

import asyncpg

ORDERS = "CREATE TABLE orders (ref text PRIMARY KEY, body text NOT NULL)"
MADE = (
    "CREATE TABLE made (n bigserial PRIMARY KEY, ref text NOT NULL,"
    " at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
KEEP = "INSERT INTO orders (ref, body) VALUES ($1, $2)"
MAKE = "INSERT INTO made (ref) VALUES ($1)"
BODY = "x" * 700
CONNECTIONS = 16


async def orders_at(url: str) -> Any:
    """The database of a pipeline, for whoever serves clients."""
    return await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)


class Mes:
    """Somebody else's system: it works on so many orders at once, and keeps what it has made."""

    def __init__(self, pool: Any, work_ms: float, at_once: int) -> None:
        self._pool = pool
        self._work_s = work_ms / 1000
        self._places = asyncio.Semaphore(at_once)

    async def make(self, ref: str) -> None:
        """Returning means that it is made; asked twice it is made twice."""
        async with self._places:
            if self._work_s:
                await asyncio.sleep(self._work_s)
            await self._pool.execute(MAKE, ref)

    async def has(self, ref: str) -> bool:
        """The look-up."""
        asked = "SELECT EXISTS (SELECT 1 FROM made WHERE ref = $1)"
        return bool(await self._pool.fetchval(asked, ref))


async def mes_at(url: str, work_ms: float, at_once: int) -> Mes:
    """The MES with its database: one statement a call, as Celery's forks make it."""
    pool = await asyncpg.create_pool(url, min_size=at_once, max_size=at_once, reset=_as_it_is)
    return Mes(pool, work_ms, at_once)


async def _as_it_is(_: Any) -> None:
    """Nothing was set on the connection, so nothing has to be set back."""
