"""Reads a MES's feed of changes: one call tells of hundreds of work orders, and none is asked for.

What a page says and how far it was read are one commit, so that nothing is skipped and nothing is
said twice, whoever dies in between.
"""

from collections.abc import Sequence

import structlog

from orderkeep.bridge.gate import Gate, GatedMes
from orderkeep.bridge.ports import MesJob, MesUnavailable
from orderkeep.bridge.said import envelope_of
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store

BEFORE_KEEP = failpoint("feed.before_keep", "a page of changes is read, nothing of it on disk")
AFTER_KEEP = failpoint("feed.after_keep", "the page's words and its cursor are on disk")

log = structlog.get_logger()


class Feed:
    """Pulls what a MES has to say, through the gate that guards every other call to it."""

    def __init__(self, store: Store[BridgeWork], mes: GatedMes, gate: Gate, clock: Clock) -> None:
        self._store = store
        self._mes = mes
        self._gate = gate
        self._clock = clock

    async def step(self) -> int:
        """Read one page; how many changes it told, 0 when there is cause to rest."""
        await self._gate.look()
        if not self._gate.has_room():
            return 0
        cursor = self._gate.cursor
        self._gate.enter()
        try:
            jobs, following = await self._mes.changes(cursor)
        except MesUnavailable:
            jobs, following = (), cursor
        finally:
            self._gate.leave()
        await self._gate.keep()
        if not jobs:
            return 0
        if following is None or following == cursor:
            log.warning("feed.stands_still", destination=self._gate.destination)
            return 0
        reach(BEFORE_KEEP)
        await self._store.write(lambda work: self._keep(work, jobs, cursor, following))
        reach(AFTER_KEEP)
        return len(jobs)

    def _keep(
        self, work: BridgeWork, jobs: Sequence[MesJob], cursor: str | None, following: str
    ) -> None:
        name, now = self._gate.destination, self._clock.now()
        if not work.destinations.keep_cursor(name, following, cursor):
            return  # Another process has read this page.
        work.outbox.post(
            [
                envelope_of(name, f"{cursor}:{n}", job, job.status, now)
                for n, job in enumerate(jobs)
                if job.status is not None
            ]
        )
        work.wake("relay")
