"""Reads what a foreign system says by itself, page by page: one call tells of hundreds of orders.

What a page says and how far it was read are one commit, so that nothing is skipped and nothing is
said twice, whoever dies in between. An entry that nobody understands goes to the tray.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import structlog

from orderkeep.bridge.gate import Gate
from orderkeep.bridge.tray import Unknown
from orderkeep.bridge.work import BridgeWork
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store

BEFORE_KEEP = failpoint("feed.before_keep", "a page of changes is read, nothing of it on disk")
AFTER_KEEP = failpoint("feed.after_keep", "the page's words and its cursor are on disk")

EntryT = TypeVar("EntryT")

log = structlog.get_logger()


class Feed(Generic[EntryT]):
    """Pulls what a foreign system has to say, through the gate that guards every call to it.

    ``pull`` reads the page behind a cursor, calling through the gate; ``pack`` turns an entry and
    its place in the feed into an envelope, or finds that it means nothing.
    """

    def __init__(
        self,
        store: Store[BridgeWork],
        gate: Gate,
        clock: Clock,
        pull: Callable[[str | None], Awaitable[tuple[Sequence[EntryT], str | None]]],
        pack: Callable[[EntryT, str, datetime], Envelope | Unknown],
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._pull = pull
        self._pack = pack

    async def step(self) -> int:
        """Read one page; how many entries it had, 0 when there is cause to rest."""
        await self._gate.look()
        await self._gate.reserve(1)
        if not self._gate.has_room():
            return 0
        cursor = self._gate.cursor
        self._gate.enter()
        try:
            entries, following = await self._pull(cursor)
        except Unavailable:
            entries, following = (), cursor
        finally:
            self._gate.leave()
        await self._gate.keep()
        if not entries:
            return 0
        if following is None or following == cursor:
            log.warning("feed.stands_still", destination=self._gate.destination)
            return 0
        reach(BEFORE_KEEP)
        await self._store.write(lambda work: self._keep(work, entries, cursor, following))
        reach(AFTER_KEEP)
        return len(entries)

    def _keep(
        self, work: BridgeWork, entries: Sequence[EntryT], cursor: str | None, following: str
    ) -> None:
        name, now = self._gate.destination, self._clock.now()
        if not work.destinations.keep_cursor(name, following, cursor):
            return  # Another process has read this page.
        packed = [self._pack(one, f"{cursor}:{n}", now) for n, one in enumerate(entries)]
        work.outbox.post([one for one in packed if isinstance(one, Envelope)])
        for one in packed:
            if isinstance(one, Unknown):
                work.tray.keep(one, now)
        work.wake("relay")
