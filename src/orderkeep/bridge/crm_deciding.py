"""A person settles news that the CRM does not take: told once more, or given up."""

from datetime import datetime

from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import CRM, Telling, Told
from orderkeep.bridge.pausing import PausingWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.news import news_after
from orderkeep.orders.order import Delivered

REFUSED = frozenset({Delivered.REJECTED, Delivered.DEAD})
UNDER_WAY = frozenset({Delivered.PENDING, Delivered.UNCERTAIN})


class NothingToDecide(Refused):
    """Nothing of this order waits for a person at the CRM."""


class CrmDeciding:
    """Takes decisions on orders that wait at the CRM."""

    def __init__(self, store: Store[PausingWork], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def decide(self, no: OrderNo, decision: str, by: str, why: str) -> None:
        """``again`` tells what was refused or given up once more; ``give_up`` passes news by.

        Raises:
            NothingToDecide: it is neither refused nor under way.
        """
        now = self._clock.now()

        def decide(work: PausingWork) -> None:
            row = work.tellings.get(no)
            if row is not None and decision == "again" and row.state in REFUSED:
                self._again(work, row, now)
            elif row is not None and decision == "give_up" and row.state in UNDER_WAY:
                self._give_up(work, row, say.GIVEN_UP_BY(by=by), now)
            else:
                raise NothingToDecide("Nothing waits for this decision.", order_no=no)
            work.access.record(now, by, f"crm.{decision}", no, why)
            work.wake(CRM)

        await self._store.write(decide)

    def _again(self, work: PausingWork, row: Telling, now: datetime) -> None:
        """What was told last, again: nothing newer has left since."""
        last = work.tellings.told(row.order_no)[-1]
        work.tellings.change(
            row, state=Delivered.PENDING, since=now, next_at=now, told=last.version - 1,
            attempts=0, news_since=now, lease_token=row.lease_token + 1,
        )  # fmt: skip

    def _give_up(self, work: PausingWork, row: Telling, said: str, now: datetime) -> None:
        history = work.orders.history(row.order_no)
        news = news_after(history, row.told)
        if news is None:
            raise NothingToDecide("Everything has been told.", order_no=row.order_no)
        told = Told(news.version, news.kind, Delivered.DEAD, now, row.attempts, said)
        work.tellings.settled(row.order_no, told)
        more = news_after(history, news.version) is not None
        work.tellings.change(
            row, state=Delivered.PENDING if more else Delivered.DEAD, since=now, detail=said,
            next_at=now if more else None, told=news.version, attempts=0,
            news_since=now, lease_token=row.lease_token + 1,
        )  # fmt: skip
