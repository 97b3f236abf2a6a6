"""Looks now and then at each open order: whether the CRM was told all, and what it shows of it.

What it was told and took is a fact of then; its people, or a backup, may have changed it since. And
an announcement that never arrived is nobody's news until somebody looks.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import CRM, Crm, CrmOrder, CrmUnavailable, Telling
from orderkeep.bridge.crm_desk import want
from orderkeep.bridge.gate import Gate
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import order_n
from orderkeep.kernel.store import Store
from orderkeep.orders.news import news_after

AT_ONCE = 20
"""Orders that are asked for in one step; a step a second."""

log = structlog.get_logger()


class CrmComparing:
    """Goes through all open orders once in a while; ``every`` of 0 never."""

    def __init__(
        self,
        store: Store[BridgeWork],
        crm: Crm,
        gate: Gate,
        clock: Clock,
        stage_there: Callable[[str], str],
        every: timedelta,
    ) -> None:
        self._store = store
        self._crm = crm
        self._gate = gate
        self._clock = clock
        self._stage_there = stage_there
        """What the CRM calls a stage of ours."""
        self._every = every
        self._after = 0
        """Up to which order this round has come."""
        self._next_at: datetime | None = None

    async def step(self) -> int:
        """Ask for some; always 0, for there is no hurry."""
        now = self._clock.now()
        if not self._every or self._rests(now):
            return 0
        after = self._after
        rows = await self._store.read(lambda work: work.tellings.compared(after, AT_ONCE))
        for row, stage in rows:
            if await self._is_told_all(row) and not await self._compare(row, stage):
                return 0  # Away or busy: the round goes on from here.
            self._after = order_n(row.order_no) or self._after
        if not rows:
            self._after, self._next_at = 0, now + self._every
        return 0

    def _rests(self, now: datetime) -> bool:
        """Between two rounds; a rest longer than any is a clock that was set back."""
        return self._next_at is not None and now < self._next_at <= now + self._every

    async def _is_told_all(self, row: Telling) -> bool:
        """Whether there is no news that nobody announced; what there is, is told now."""
        history = await self._store.read(lambda work: work.orders.history(row.order_no))
        if news_after(history, row.told) is None:
            return True
        now = self._clock.now()

        def wake(work: BridgeWork) -> None:
            want(work, row.order_no, now)
            work.wake(CRM)

        await self._store.write(wake)
        log.warning("crm.news_forgotten", order_no=row.order_no)
        return False

    async def _compare(self, row: Telling, stage: str) -> bool:
        """Ask for one and keep what differs; False when it could not be asked now."""
        if not self._crm.capabilities.lookup:
            return True
        await self._gate.look()
        await self._gate.reserve(1)
        if not self._gate.has_room():
            return False
        self._gate.enter()
        try:
            shown = await self._gate.call(self._crm.find(row.order_no))
        except CrmUnavailable:
            return False
        finally:
            self._gate.leave()
            await self._gate.keep()
        differs = self._differs(shown, row, stage)
        if differs != row.differs:
            await self._keep(row, differs)
        return True

    def _differs(self, shown: CrmOrder | None, row: Telling, stage: str) -> str | None:
        if shown is None:
            return say.CRM_SHOWS_NONE()
        if shown.version is not None and shown.version < row.told:
            return say.CRM_SHOWS_OLDER(version=shown.version, told=row.told)
        there = self._stage_there(stage)
        if shown.stage is not None and shown.stage != there:
            return say.CRM_SAYS_OTHERWISE(status=shown.stage, quote=there)
        return None

    async def _keep(self, row: Telling, differs: str | None) -> None:
        try:
            # Whoever has told it something since knows better: the row's token has grown then.
            await self._store.write(lambda work: work.tellings.change(row, differs=differs))
        except LeaseLost:
            return
        log.warning("crm.differs", order_no=row.order_no, differs=differs is not None)
