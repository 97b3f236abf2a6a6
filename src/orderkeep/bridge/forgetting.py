"""Forgets, after a time, what a person has settled of the tray of unknown messages."""

from datetime import timedelta

import structlog

from orderkeep.bridge.tray import TrayWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store

AT_ONCE = 500

log = structlog.get_logger()


class Forgetting:
    """Forgets what was settled long ago; ``kept`` says how long it is remembered."""

    def __init__(self, store: Store[TrayWork], clock: Clock, kept: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept

    async def step(self) -> int:
        """Forget some; how many, so that the rest follows at once."""
        before = self._clock.now() - self._kept
        gone = await self._store.write(lambda work: work.tray.forget(before, AT_ONCE))
        if gone:
            log.info("unknown.forgotten", count=gone)
        return gone
