"""Asks the MES about work orders that may be there: for their fate, their progress, or back."""

from datetime import timedelta

from orderkeep.bridge import sentences as say
from orderkeep.bridge.gate import GatedMes
from orderkeep.bridge.hearing import Hearing
from orderkeep.bridge.moves import Delivery, proven_absent
from orderkeep.bridge.outcomes import Outcomes
from orderkeep.bridge.ports import MesUnavailable, NotShown, RecallRefused
from orderkeep.bridge.telling import Teller
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import RecordRecallRefused
from orderkeep.orders.order import Delivered

AFTER_LOOK = failpoint("bridge.after_look", "looked up, not written down")
AFTER_RECALL = failpoint("bridge.after_recall", "recalled at the MES, not written down")


class FindingOut:
    """What is asked about a work order; ``pause`` after the MES was away."""

    def __init__(  # The asker's parts, each used.
        self,
        store: Store[BridgeWork],
        teller: Teller,
        mes: GatedMes,
        outcomes: Outcomes,
        hearing: Hearing,
        clock: Clock,
        poll: timedelta,
        pause: timedelta,
    ) -> None:
        self._store = store
        self._teller = teller
        self._mes = mes
        self._outcomes = outcomes
        self._hearing = hearing
        self._clock = clock
        self._poll = poll
        self._pause = pause

    async def look(self, row: Delivery) -> None:
        """Find out what became of an uncertain send; nothing else may follow from silence."""
        try:
            jobs = await self._mes.find(row.reference)
        except MesUnavailable:
            await self._outcomes.postpone(row, self._clock.now() + self._pause)
            return
        reach(AFTER_LOOK)
        if len(jobs) > 1:
            said = say.SEVERAL_JOBS(n=len(jobs))
            await self._outcomes.settle(row, Delivered.DIVERGED, said, next_at=None)
        elif jobs:
            await self._outcomes.confirmed(row, jobs[0])
        else:
            await self._absent(row)

    async def _absent(self, row: Delivery) -> None:
        seen, now = row.absent_seen + 1, self._clock.now()
        if not proven_absent(seen):
            again = now + self._mes.capabilities.visibility_lag
            await self._store.write(
                lambda work: work.deliveries.change(row, absent_seen=seen, next_at=again)
            )
        elif row.recall_wanted:
            await self._outcomes.settle(row, Delivered.RECALLED, say.NEVER_HAD(), next_at=None)
        else:
            said = say.NOT_AT_MES()
            await self._outcomes.settle(
                row, Delivered.PENDING, said, next_at=now, absent_seen=0, last_sent_at=None
            )

    async def ask(self, row: Delivery) -> None:
        """See how far the MES has come; its status words are claims, checked by the lifecycle."""
        now = self._clock.now()
        try:
            jobs = await self._mes.find(row.reference)
        except MesUnavailable:
            await self._outcomes.postpone(row, now + self._pause)
            return
        if len(jobs) == 1:
            await self._store.write(lambda work: self._hearing.hear(work, row, jobs[0], now))
        else:
            await self._store.write(
                lambda work: self._hearing.hear_nonsense(work, row, len(jobs), now)
            )

    async def recall(self, row: Delivery) -> None:
        """Take it back; what is denied is not asked for again."""
        try:
            await self._mes.recall(row.reference)
        except RecallRefused as no:
            why = str(no)
            await self._store.write(lambda work: self._not_given_back(work, row, why))
            return
        except NotShown:
            now = self._clock.now()
            await self._store.write(lambda work: self._hearing.hear_nonsense(work, row, 0, now))
            return
        except MesUnavailable:
            await self._outcomes.postpone(row, self._clock.now() + self._pause)
            return
        reach(AFTER_RECALL)
        await self._outcomes.settle(row, Delivered.RECALLED, say.TAKEN_BACK(), next_at=None)

    def _not_given_back(self, work: BridgeWork, row: Delivery, why: str) -> None:
        again = self._clock.now() + self._poll
        work.deliveries.change(row, recall_wanted=False, next_at=again)
        self._teller.tell(work, row.order_no, RecordRecallRefused(row.reference, why))
