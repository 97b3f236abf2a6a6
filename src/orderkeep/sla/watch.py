"""The watch: finds orders whose time has come and lets the lifecycle decide what that means."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import structlog

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import Tick
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.ports import OrderWork

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

    async def step(self) -> int:
        """Evaluate one batch of due orders; returns how many have moved."""
        now = self._clock.now()
        due = await self._store.read(lambda work: work.timers.due(now, BATCH))
        return sum(await asyncio.gather(*(self._tick(no) for no in due)))

    async def _tick(self, no: OrderNo) -> bool:
        """Evaluate one order; False when at once is too soon to look again."""
        cause = Cause(Actor(ActorKind.WATCH, "watch"), "Tick", "watch", "")
        try:
            handled = await self._master.handle(no, Tick(), cause)
        except (Conflict, Unavailable, Uncertain):
            raise
        except Exception:  # One order that we fail at must not stop the clock of all others.
            log.exception("timer.failed", order_id=no)
            return False
        reach(AFTER_TICK)
        if not handled.recorded:
            # A timer without an effect would come back for ever: that is a defect of ours.
            log.error("timer.without_effect", order_id=no)
        return bool(handled.recorded)
