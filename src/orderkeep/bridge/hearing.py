"""What a MES shows when it is asked how far it has come: claims, checked by the lifecycle."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from orderkeep.bridge import sentences as say
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.telling import DESTINATION, Teller, change, is_current
from orderkeep.bridge.work import BridgeWork
from orderkeep.orders.commands import RecordMesWord
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import FINAL, Delivered, Stage

LOST_AFTER = 5
"""Looks in a row, after the visibility lag, before a confirmed work order counts as denied."""

WORDS = (
    ("queued", "accepted"),
    ("accepted", "accepted"),
    ("started", "started"),
    ("completed", "completed"),
    ("packaging", "packaging"),
    ("shipped", "shipped"),
    ("recalled", "recalled"),
    ("cancelled", "recalled"),
    ("scrapped", "scrapped"),
)
"""A MES's status words as we expect them, and what they mean to the lifecycle."""


class Hearing:
    """Writes down what was shown; ``poll`` later somebody asks again."""

    def __init__(
        self, teller: Teller, words: Mapping[str, str], poll: timedelta, lag: timedelta
    ) -> None:
        self._teller = teller
        self._words = words
        self._poll = poll
        self._lag = lag

    def hear_nonsense(self, work: BridgeWork, row: Delivery, jobs: int, now: datetime) -> None:
        """It shows several jobs for one work order, or denies one that it had confirmed."""
        visible = row.since + self._lag <= now
        seen = row.absent_seen + 1 if visible and not jobs else 0
        next_at = now + self._poll
        work.deliveries.change(row, absent_seen=seen, next_at=next_at)
        word = say.SHOWN_TIMES(n=jobs) if jobs else say.NOT_SHOWN()
        if jobs or seen >= LOST_AFTER:
            said = RecordMesWord(DESTINATION, row.reference, word)
            self._teller.hear(work, row.order_no, said)

    def hear(self, work: BridgeWork, row: Delivery, job: MesJob, now: datetime) -> None:
        order = rebuild(work.orders.history(row.order_no))
        current = is_current(order, row.reference)
        over = order.stage in FINAL or order.stage is Stage.SHIPPED or not current
        if job.status is None:
            self._seen(work, row, job)
        elif current:
            word = self._words.get(job.status, job.status)
            said = RecordMesWord(DESTINATION, row.reference, word, mes_id=job.mes_id)
            order = self._teller.hear(work, row.order_no, said).order
        state = order.work_order.delivered if order.work_order and current else row.state
        again = None if over else now + self._poll
        row = work.deliveries.get(DESTINATION, row.reference) or row
        work.deliveries.change(row, state=state, next_at=again, absent_seen=0)

    def _seen(self, work: BridgeWork, row: Delivery, job: MesJob) -> None:
        if row.state is Delivered.CONFIRMED:
            command = change(row.reference, Delivered.RECEIVED, say.LOOKED_UP(), job.mes_id)
            self._teller.tell(work, row.order_no, command)
