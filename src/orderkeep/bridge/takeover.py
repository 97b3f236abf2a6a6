"""Work orders whose sender is gone, or does not move: several bridges may serve one destination.

An HTTP send cannot be fenced. So nobody touches what another bridge is sending until that one is
proven gone; then it may have been done, and is found out as after any unknown outcome. A sender
that lives and does not move (it was stopped, its machine hangs) may still let the bytes go: its
work order is shown as uncertain, and waits for it to move on or to end.
"""

from datetime import timedelta

import structlog

from orderkeep.bridge import sentences as say
from orderkeep.bridge.lives import Lives
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.telling import DESTINATION, Teller, change
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.orders.order import Delivered

BATCH = 64
"""Work orders that are shown as uncertain in one step."""

log = structlog.get_logger()


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
        ours, before = self._lives.holder, self._clock.now() - self._longest
        # All holders, and not those of the oldest rows: whoever hangs keeps rows for as long.
        holders, silent = await self._store.read(
            lambda work: (
                work.deliveries.holders(DESTINATION),
                work.deliveries.silent(DESTINATION, ours, before, BATCH),
            )
        )
        gone = await self._lives.gone(holders - {ours})
        for holder in sorted(gone):
            await self._take_over(holder)
        for row in silent:
            if row.holder not in gone:
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
            said = say.SENDER_STILL()
            # The order first: of two who write to it at once, one does so again and sees the other.
            self._teller.tell(work, row.order_no, change(row.reference, Delivered.UNCERTAIN, said))
            seen = work.deliveries.get(DESTINATION, row.reference)
            if seen is None or seen.state is not Delivered.SENDING:
                raise LeaseLost(row.reference)  # Its outcome is there, and keeps the token.
            # Its token stays good, and its name in the row: it writes down what came of it.
            work.deliveries.change(
                row, state=Delivered.UNCERTAIN, since=now, detail=said, next_at=None
            )

        try:
            await self._store.write(suspect)
        except LeaseLost:
            return  # It moved.
        log.warning("work_order.sender_silent", work_order_no=row.reference, holder=row.holder)
