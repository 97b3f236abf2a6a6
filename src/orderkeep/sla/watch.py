"""The watch: finds orders whose time has come and lets the lifecycle decide what that means."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import structlog

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, OrderkeepError, Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import Tick
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.ports import OrderWork
from orderkeep.sla.resting import Resting

AFTER_TICK = failpoint("watch.after_tick", "what time made due is on disk")

BATCH = 500

log = structlog.get_logger()


class DueOrders(Protocol):
    """Orders by their timers."""

    def due(self, now: datetime, limit: int) -> Sequence[OrderNo]:
        """Orders whose timer has come, the longest overdue first."""
        ...


class WatchWork(OrderWork, Protocol):
    """A unit of work of the watch."""

    @property
    def timers(self) -> DueOrders: ...


class Watch:
    """One active watch; evaluating twice changes nothing."""

    def __init__(self, store: Store[WatchWork], master: OrderMaster, clock: Clock) -> None:
        self._store = store
        self._master = master
        self._clock = clock
        self._resting = Resting()

    async def step(self) -> int:
        """Evaluate one batch of due orders; returns how many moved, and 0 only if no more wait.

        An order that we fail at rests for a while: it stays due, and keeps nobody else from it.

        Raises:
            Conflict, Unavailable, Uncertain: of the store; all of the batch have had their turn.
        """
        now = self._clock.now()
        due = await self._due(now)
        told = await asyncio.gather(*(self._tick(no, now) for no in due))
        for one in told:
            if isinstance(one, OrderkeepError):
                raise one
        # A full batch leaves others behind it: they must not wait because all of these failed.
        return sum(map(bool, told)) or int(len(due) == BATCH)

    async def _due(self, now: datetime) -> Sequence[OrderNo]:
        resting = self._resting.at(now)
        most = BATCH + len(resting)
        due = await self._store.read(lambda work: work.timers.due(now, most))
        return [no for no in due if no not in resting][:BATCH]

    async def _tick(self, no: OrderNo, now: datetime) -> bool | OrderkeepError:
        """Evaluate one order; False when it rests, an error when the store would not have it."""
        cause = Cause(Actor(ActorKind.WATCH, "watch"), "Tick", "watch", "")
        try:
            handled = await self._master.handle(no, Tick(), cause)
        except (Conflict, Unavailable, Uncertain) as away:
            return away  # Told when the whole batch has ended: no tick goes on behind our back.
        except Exception as failure:  # One order that we fail at must not stop all other clocks.
            if self._resting.failed(no, f"{type(failure).__name__}: {failure}", now):
                log.exception("timer.failed", order_id=no, failing=len(self._resting))
            return False
        reach(AFTER_TICK)
        if not handled.recorded:
            # A timer without an effect would come back for ever: that is a defect of ours.
            if self._resting.failed(no, "without effect", now):
                log.error("timer.without_effect", order_id=no, failing=len(self._resting))
        elif self._resting.succeeded(no):
            log.info("timer.works_again", order_id=no, failing=len(self._resting))
        return bool(handled.recorded)
