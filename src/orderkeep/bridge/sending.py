"""Sends work orders: the intent on disk, the lease once more, the bytes, what came of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from orderkeep.bridge import sentences as say
from orderkeep.bridge.gate import GatedMes
from orderkeep.bridge.lives import Lives, while_seen
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.outcomes import Outcomes
from orderkeep.bridge.ports import (
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    WorkOrder,
)
from orderkeep.bridge.telling import DESTINATION, Teller, change, is_current, known_state
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.observe.tracing import within
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import Loaded
from orderkeep.orders.order import ARRIVED, FINAL, Delivered, Order, Position
from orderkeep.orders.refusals import TransitionRefused

BEFORE_INTENT = failpoint("bridge.before_intent", "the work order is pending")
AFTER_INTENT = failpoint("bridge.after_intent", "the intent to send is on disk, nothing was sent")
BEFORE_SEND = failpoint("bridge.before_send", "lease checked, the bytes are about to leave")
AFTER_SEND = failpoint("bridge.after_send", "the MES has answered, we have not written it down")
AFTER_OUTCOME = failpoint("bridge.after_outcome", "the outcome is on disk")

OVERSLEPT = timedelta(seconds=5)
"""From the intent to the bytes: who took longer was stopped, and may count as gone by now."""
LONGEST_PAUSE = timedelta(minutes=15)
"""How long a repeat of an unknown outcome waits at most, and what a MES may ask us to wait."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """A work order that we are the sender of, and its order as the intent left it."""

    row: Delivery
    loaded: Loaded


class Sending:
    """Brings work orders to the MES; ``holder`` is unique to this process's life."""

    def __init__(  # The sender's parts, each used.
        self,
        store: Store[BridgeWork],
        teller: Teller,
        mes: GatedMes,
        outcomes: Outcomes,
        clock: Clock,
        pause: timedelta,
        holder: str,
        lives: Lives | None = None,
    ) -> None:
        self._store = store
        self._teller = teller
        self._mes = mes
        self._outcomes = outcomes
        self._clock = clock
        self._pause = pause
        self._holder = holder
        self._lives = lives
        """Given where other bridges serve the same MES."""

    async def send(self, row: Delivery) -> None:
        """Put the intent on disk, send, and write down what came of it."""
        reach(BEFORE_INTENT)
        intended = await self._intend(row)
        if intended is None:
            return
        reach(AFTER_INTENT)
        # Whatever the MES is asked about an order belongs to the trace that the order came with.
        with within(intended.loaded.trace_id):
            await self._carry_out(row, intended)
        reach(AFTER_OUTCOME)

    async def _carry_out(self, row: Delivery, intended: Taken) -> None:
        taken, order = intended.row, intended.loaded
        await self._still_ours(taken)
        reach(BEFORE_SEND)
        try:
            job = await self._submit(work_order_of(order.order, taken.reference), taken)
        except MesRejected as no:
            await self._refused(taken, str(no))
        except MesUnavailable as away:
            await self._unsent(row, taken, away)
        except MesOutcomeUnknown as unknown:
            await self._unknown(taken, str(unknown))
        except Exception as surprise:  # Whatever went wrong, bytes may have left.
            log.exception("work_order.send_failed", work_order_no=taken.reference)
            await self._unknown(taken, type(surprise).__name__)
        else:
            reach(AFTER_SEND)
            await self._outcomes.confirmed(taken, job, order)

    async def _submit(self, wanted: WorkOrder, taken: Delivery) -> MesJob:
        """Send, and cut it when the others may believe that we are gone."""
        if self._lives is None:
            return await self._mes.submit(wanted)
        if not self._lives.is_seen or self._clock.now() - taken.since > OVERSLEPT:
            raise MesUnavailable(say.STOPPED_BETWEEN())
        lost = MesOutcomeUnknown(say.DATABASE_LOST())
        return await while_seen(self._lives, self._mes.submit(wanted), lost)

    async def _intend(self, row: Delivery) -> Taken | None:
        """Put the intent to send on disk, unless the order does not allow it any more."""
        now = self._clock.now()

        def intend(work: BridgeWork) -> Taken:
            taken = work.deliveries.take(row, self._holder, now)
            loaded = self._teller.master.load(work, row.order_no)
            command = change(row.reference, Delivered.SENDING, say.ATTEMPT(n=taken.attempts))
            order = self._teller.tell(work, row.order_no, command, loaded=loaded).order
            return Taken(taken, Loaded(order, loaded.trace_id))

        try:
            return await self._store.write(intend)
        except TransitionRefused:
            await self._store.write(lambda work: self._not_now(work, row, now))
            return None

    def _not_now(self, work: BridgeWork, row: Delivery, now: datetime) -> None:
        """The order may not be sent: held, to be cancelled, or replaced by another work order."""
        order = rebuild(work.orders.history(row.order_no))
        current = is_current(order, row.reference)
        if current and order.hold and not order.cancel_request and order.stage not in FINAL:
            work.deliveries.change(row, next_at=now + self._pause)
        elif (known := known_state(order, row.reference)) in ARRIVED:
            # Its own word came while we were about to repeat it: there is nothing to send.
            work.deliveries.change(row, state=known, next_at=now + self._pause)
        elif row.state is Delivered.PENDING:
            work.deliveries.change(row, state=Delivered.RECALLED, since=now, next_at=None)
            if current:
                command = change(row.reference, Delivered.RECALLED, say.NEVER_SENT())
                self._teller.tell(work, row.order_no, command)
        else:
            # It may be there: only a look-up or a person can tell now.
            work.deliveries.change(row, recall_wanted=True, next_at=now + self._pause)

    async def _still_ours(self, taken: Delivery) -> None:
        """An HTTP send cannot be fenced: look once more, just before the bytes leave."""
        row = await self._store.read(lambda work: work.deliveries.get(DESTINATION, taken.reference))
        if row is None or row.lease_token != taken.lease_token:
            raise LeaseLost(taken.reference, holder=taken.holder)

    async def _unsent(self, row: Delivery, taken: Delivery, away: MesUnavailable) -> None:
        """Surely not done: back to its place in the queue, and the attempt does not count."""
        attempts = taken.attempts - 1
        # After an earlier unknown outcome, a repeat that surely failed proves nothing of the first.
        state = Delivered.UNCERTAIN if taken.last_sent_at else Delivered.PENDING
        # Due as it was: the gate holds everything back for as long as it has to.
        await self._outcomes.settle(taken, state, str(away), next_at=row.next_at, attempts=attempts)

    async def _refused(self, taken: Delivery, why: str) -> None:
        """It said no; but a no to a repeat says nothing of the first, which a person has to see."""
        state = Delivered.UNCERTAIN if taken.last_sent_at else Delivered.REJECTED
        await self._outcomes.settle(taken, state, why, next_at=None)

    async def _unknown(self, taken: Delivery, why: str) -> None:
        # A look-up has a time of its own. A repeat waits longer after every try: a MES that answers
        # each with an error would be asked without a pause, and the order filled with its answers.
        repeats = self._mes.capabilities.idempotency != "none" and not taken.recall_wanted
        pause = self._longer(taken.attempts, LONGEST_PAUSE) if repeats else timedelta(0)
        await self._outcomes.settle(
            taken, Delivered.UNCERTAIN, why, next_at=self._clock.now() + pause
        )

    def _longer(self, tries: int, longest: timedelta) -> timedelta:
        """A pause that doubles with every try."""
        return min(self._pause * (1 << max(0, min(tries - 1, 16))), longest)


def work_order_of(order: Order, reference: WorkOrderRef) -> WorkOrder:
    """What the MES is asked to make for an order."""
    return WorkOrder(
        reference=reference,
        order_no=order.no,
        positions=[_wire(position) for position in order.positions],
        promise_at=order.promise_at,
        body_sha256=order.body_sha256 or "",
    )


def _wire(position: Position) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.to_builtins(position)
    return wire
