"""Work orders whose sender is gone, or does not move: several bridges may serve one destination.

An HTTP send cannot be fenced. So nobody touches what another bridge is sending until that one is
proven gone; then it may have been done, and is found out as after any unknown outcome. A sender
that lives and does not move (it was stopped, its machine hangs) may still let the bytes go: its
work order is shown as uncertain, and waits for it to move on or to end.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

import structlog

from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.telling import DESTINATION, Teller, change
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.orders.order import Delivered

BATCH = 64

log = structlog.get_logger()


class Lives(Protocol):
    """Who lives among those who serve one database."""

    @property
    def holder(self) -> str:
        """Our own name; nobody else has it, before or after us."""
        ...

    @property
    def is_seen(self) -> bool:
        """Whether the others can see that we live."""
        ...

    async def lost(self) -> None:
        """Return when the others cannot see any more that we live."""
        ...

    async def gone(self, holders: Iterable[str]) -> set[str]:
        """Those who are proven gone: nothing of theirs is under way any more."""
        ...


class TakeOver:
    """Looks after the work orders of other bridges; ``longest`` is how long a call may last."""

    def __init__(
        self,
        store: Store[BridgeWork],
        teller: Teller,
        lives: Lives,
        clock: Clock,
        longest: timedelta,
    ) -> None:
        self._store = store
        self._teller = teller
        self._lives = lives
        self._clock = clock
        self._longest = longest

    async def step(self) -> int:
        """Take over from whoever is gone, show whose sender does not move; always 0."""
        held = await self._store.read(lambda work: work.deliveries.held(DESTINATION, BATCH))
        others = [row for row in held if row.holder != self._lives.holder]
        gone = await self._lives.gone({row.holder for row in others if row.holder})
        for holder in sorted(gone):
            await self._take_over(holder)
        before = self._clock.now() - self._longest
        for row in others:
            if row.holder not in gone and row.state is Delivered.SENDING and row.since < before:
                await self._suspect(row)
        return 0

    async def _take_over(self, holder: str) -> None:
        now = self._clock.now()
        freed = await self._store.write(
            lambda work: work.deliveries.abandon(DESTINATION, now, holder)
        )
        log.warning("work_orders.sender_gone", holder=holder, work_orders=freed)

    async def _suspect(self, row: Delivery) -> None:
        now = self._clock.now()

        def suspect(work: BridgeWork) -> None:
            said = "the sender does not move"
            # Its token stays good, and its name in the row: it writes down what came of it.
            work.deliveries.change(
                row, state=Delivered.UNCERTAIN, since=now, detail=said, next_at=None
            )
            self._teller.tell(work, row.order_no, change(row.reference, Delivered.UNCERTAIN, said))

        try:
            await self._store.write(suspect)
        except LeaseLost:
            return  # It moved.
        log.warning("work_order.sender_silent", work_order_no=row.reference, holder=row.holder)
