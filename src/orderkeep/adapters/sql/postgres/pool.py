"""The connections of one process: few, opened when needed, dropped when they have failed."""

import asyncio
from collections import deque
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from orderkeep.adapters.sql.lanes import RETRY_AFTER, busy
from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED
from orderkeep.adapters.sql.postgres.link import PgLink, open_link
from orderkeep.kernel.errors import StoreBusy

WAIT_S = 10.0
"""How long a unit waits for a free connection before it is refused."""


class Pool:
    """Hands out connections, one user at a time, the one used last first.

    ``setting`` is run on each as soon as it is open.
    """

    def __init__(self, engine: AsyncEngine, size: int, setting: str = "") -> None:
        self._engine = engine
        self._setting = setting
        self._places = asyncio.Semaphore(size)
        self._idle: deque[PgLink] = deque()
        self.waiting = 0

    async def take(self) -> PgLink:
        """A connection of one's own until ``give_back``.

        Raises:
            StoreBusy: none is free, or the server cannot be reached; nothing was done.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise StoreBusy("Too much waits for the database", retry_after=RETRY_AFTER) from error
        finally:
            self.waiting -= 1
        try:
            return await self._link()
        except BaseException:
            self._places.release()
            raise

    async def give_back(self, link: PgLink) -> None:
        """Let the next one have it, unless it is gone."""
        if link.is_closed:
            await _close(link)
        else:
            self._idle.append(link)
        self._places.release()

    async def discard(self, link: PgLink) -> None:
        """It has failed: drop it, and those that idle, which have met the same end."""
        link.drop()
        dropped, self._idle = [link, *self._idle], deque()
        for one in dropped:
            one.drop()
            await _close(one)
        self._places.release()

    async def close(self) -> None:
        """Close what idles; everything must have been given back."""
        while self._idle:
            await _close(self._idle.pop())

    async def _link(self) -> PgLink:
        while self._idle:
            link = self._idle.pop()
            if not link.is_closed:
                return link
            await _close(link)
        try:
            link = await open_link(self._engine)
            if self._setting:
                await link.bare.execute(self._setting)
            return link
        except (*DRIVER_FAILED, SQLAlchemyError) as error:
            raise busy(error) from error


async def _close(link: PgLink) -> None:
    with suppress(*DRIVER_FAILED, SQLAlchemyError):
        await link.connection.close()
