"""Units of work that may be forgotten when the server dies, and are then done again.

Their commits do not wait for the disk. A server that falls forgets the newest commits only, never
one that something later on disk was built on; a process of ours that falls costs nothing at all.
Decision 21 says which units these are, and why. Each of their statements stands by itself.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.lanes import AFTER_COMMIT, BEFORE_COMMIT
from orderkeep.adapters.sql.postgres.errors import fate, is_lost, is_raced
from orderkeep.adapters.sql.postgres.pool import Pool
from orderkeep.adapters.sql.postgres.transactions import alone
from orderkeep.kernel.failpoints import reach

T = TypeVar("T")

AT_ONCE = 3
TRIES = 3
"""Runs of a unit that others were faster than, or whose connection was lost."""
_FORGETFUL = "SET synchronous_commit TO off"


class Passing:
    """Implements ``kernel.store.Store`` for writing; each statement is a transaction."""

    def __init__(self, engine: AsyncEngine, tell: Callable[[PgWork], None]) -> None:
        self._pool = Pool(engine, AT_ONCE, _FORGETFUL)
        self._tell = tell

    async def write(self, unit: Callable[[PgWork], T]) -> T:
        """Run a unit of work; returning means that everybody sees it, not that it is on disk.

        Raises:
            StoreBusy: not taken; nothing was done.
        """
        for left in reversed(range(TRIES)):
            try:
                return await self._once(unit)
            except Exception as error:
                again = left and (is_raced(error) or is_lost(error))
                if not again:
                    raise fate(error) from error
        raise AssertionError("the last try returns or raises")

    async def _once(self, unit: Callable[[PgWork], T]) -> T:
        link = await self._pool.take()
        work = PgWork(link, writes=True)

        def whole() -> T:
            reach(BEFORE_COMMIT)
            outcome = unit(work)
            reach(AFTER_COMMIT)
            return outcome

        try:
            outcome = await alone(link, whole)
        except BaseException as error:
            # Cut in the middle it is of no more use than lost.
            is_whole = isinstance(error, Exception) and not is_lost(error)
            await (self._pool.give_back(link) if is_whole else self._pool.discard(link))
            raise
        await self._pool.give_back(link)
        self._tell(work)
        return outcome

    async def close(self) -> None:
        """Close what idles; nobody may be writing any more."""
        await self._pool.close()
