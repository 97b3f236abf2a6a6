"""Bytes that nobody names: a crash came between keeping them and the row that names them.

The sender got no answer and sends them again, so nothing is lost with them. Only what has lain for
a day is looked at: an upload under way has made its bytes young, and its row follows at once.

They are put aside first and removed a month later: beside a database that was put back from an
older copy, what nobody names today may be the model of an order that is put back tomorrow.
"""

from datetime import timedelta

import structlog

from orderkeep.files.ports import FileKeeper, FileWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store

OLD = timedelta(days=1)
ASIDE = timedelta(days=30)

log = structlog.get_logger()


class Leftovers:
    """Puts aside kept bytes that no row names, and takes back what one names again."""

    def __init__(self, store: Store[FileWork], keeper: FileKeeper, clock: Clock) -> None:
        self._store = store
        self._keeper = keeper
        self._clock = clock

    async def step(self) -> int:
        """Look at everything that is old; returns 0, for there is nothing more till much later."""
        taken_back = await self._take_back()
        put_aside = await self._put_aside()
        removed = await self._keeper.remove_aside(self._clock.now() - ASIDE)
        if taken_back or put_aside or removed:
            log.warning("file.leftovers", back=taken_back, aside=put_aside, removed=removed)
        return 0

    async def _take_back(self) -> int:
        named = [one for one in await self._keeper.aside() if await self._is_named(one)]
        for sha256 in named:
            await self._keeper.put_back(sha256)
        return len(named)

    async def _put_aside(self) -> int:
        before, put = self._clock.now() - OLD, 0
        for sha256 in await self._keeper.kept_before(before):
            if not await self._is_named(sha256):
                put += await self._keeper.set_aside(sha256, before)
        return put

    async def _is_named(self, sha256: str) -> bool:
        return await self._store.read(lambda work: work.files.named(sha256))
