"""Brings work orders to the MES and finds out what became of them."""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from orderkeep.bridge.deciding import Deciding
from orderkeep.bridge.feed import Feed
from orderkeep.bridge.gate import Gate, GatedMes
from orderkeep.bridge.hearing import WORDS, Hearing
from orderkeep.bridge.moves import Delivery, Do, next_move, proven_absent
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.ports import (
    Mes,
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    RecallRefused,
    WorkOrder,
)
from orderkeep.bridge.takeover import Lives, TakeOver
from orderkeep.bridge.telling import (
    DESTINATION,
    Teller,
    change,
    is_current,
    known_state,
    unread,
)
from orderkeep.bridge.windows import ALWAYS_THERE, Maintenance
from orderkeep.bridge.wishes import Wishes
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import (
    RecordRecallRefused,
)
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import ARRIVED, FINAL, Delivered, Order, Position
from orderkeep.orders.refusals import TransitionRefused

BEFORE_INTENT = failpoint("bridge.before_intent", "the work order is pending")
AFTER_INTENT = failpoint("bridge.after_intent", "the intent to send is on disk, nothing was sent")
BEFORE_SEND = failpoint("bridge.before_send", "lease checked, the bytes are about to leave")
AFTER_SEND = failpoint("bridge.after_send", "the MES has answered, we have not written it down")
AFTER_OUTCOME = failpoint("bridge.after_outcome", "the outcome is on disk")
AFTER_LOOK = failpoint("bridge.after_look", "looked up, not written down")
AFTER_RECALL = failpoint("bridge.after_recall", "recalled at the MES, not written down")

BATCH = 256
OVERSLEPT = timedelta(seconds=5)
"""From the intent to the bytes: who took longer was stopped, and may count as gone by now."""
STEPS_AT_ONCE = 3
"""Steps at once: so many calls may hang before others wait for them."""
LONGEST_PAUSE = timedelta(minutes=15)
"""How long a repeat of an unknown outcome waits at most, and what a MES may ask us to wait."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """How the bridge paces itself; ``words`` maps the MES's own status words onto ours."""

    concurrency: int = 8
    """Calls at once, at most."""
    poll: timedelta = timedelta(seconds=5)
    pause: timedelta = timedelta(seconds=5)
    """How long after the MES was away, or an order could not be sent yet."""
    words: tuple[tuple[str, str], ...] = WORDS
    maintenance: Maintenance = ALWAYS_THERE
    longest: timedelta = timedelta(minutes=1)
    """How long a call of ours may last, with all that belongs to it."""


class Bridge:
    """One destination's dispatcher. ``holder`` is unique to this process's life."""

    def __init__(  # The bridge's parts, each used.
        self,
        store: Store[BridgeWork],
        master: OrderMaster,
        mes: Mes,
        clock: Clock,
        settings: BridgeSettings,
        holder: str,
        lives: Lives | None = None,
    ) -> None:
        self._lives = lives
        """Given where other bridges serve the same MES."""
        self._store = store
        lag = mes.capabilities.visibility_lag
        bounds = Bounds(settings.concurrency, settings.pause)
        self.gate = Gate(store, clock, DESTINATION, bounds, settings.maintenance, lag)
        self._mes = GatedMes(mes, self.gate)
        self._clock = clock
        self._settings = settings
        self._teller = Teller(master, clock)
        self._hearing = Hearing(self._teller, dict(settings.words), settings.poll, lag)
        self.handle = Wishes(self._teller, dict(settings.words)).handle
        """Takes an announcement from the inbox."""
        self.decide = Deciding(store, self._teller, clock).decide
        """Takes a person's decision."""
        self.feed = Feed(store, self._mes, self.gate, clock)
        """What the MES says by itself; for one that has a feed of changes."""
        longest = settings.longest
        self.takeover = (
            TakeOver(store, self._teller, lives, clock, longest) if lives is not None else None
        )
        """Who looks after other bridges' work orders, where there may be others."""
        self._holder = holder
        self._failure: Exception | None = None
        """Why the last step left something unwritten."""
        self._line: deque[Delivery] = deque()
        """What is due, oldest first, shared by all steps of ours, so that none overtakes."""
        self._moving: set[str] = set()
        """Work orders that a step of ours has in hand."""
        self._moved: set[str] = set()
        """What was let go of while somebody read what is due: what they read is out of date."""
        self._reading = asyncio.Lock()
        self._looked_at: datetime | None = None
        """When the last step was, by a clock that may have been set back since."""

    # --- the loop -------------------------------------------------------------------------------

    async def recover(self) -> int:
        """At start: whoever was sending is gone, so it may have been done. Returns how many."""
        now = self._clock.now()

        def recover(work: BridgeWork) -> int:
            self._pull_in(work, now)
            return work.deliveries.abandon(DESTINATION, now, None)

        return await self._store.write(recover)

    async def step(self) -> int:
        """Move what is due, oldest first and as many at once as the gate lets; how many.

        Several steps may run at once: while one waits for a slow answer, another goes on.

        Raises:
            Exception: the first failure, after every other work order has been moved.
        """
        now = self._clock.now()
        if not self._is_seen() or not await self._look_after_own(now):
            return 0
        await self._look_at_clock(now)
        await self.gate.look()
        moved = 0
        if self.gate.has_room():
            await self._take_due(now)
            moved = await self._move_all()
        await self.gate.keep()
        if self._failure is not None:
            raise self._failure
        return moved

    async def _take_due(self, now: datetime) -> None:
        """Line up what is due and in nobody's hands, behind what other steps have lined up."""
        async with self._reading:
            if self._line:
                return
            self._moved.clear()
            due = await self._store.read(lambda work: work.deliveries.due(DESTINATION, now, BATCH))
            ours = [one for one in due if one.reference not in self._moving | self._moved]
            self._moving |= {one.reference for one in ours}
            self._line.extend(ours)

    async def _move_all(self) -> int:
        """Move the line on until it is empty, or none may leave; the rest stays as it was."""
        under_way: set[asyncio.Task[None]] = set()
        moved = 0
        try:
            while True:
                while self._line and self.gate.has_room() and self._failure is None:
                    self.gate.enter()
                    under_way.add(asyncio.create_task(self._guarded(self._line.popleft())))
                    moved += 1
                if not under_way:
                    return moved
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Left over when nothing may leave. Whoever still has calls under way comes by anew.
            self._let_go(*(row.reference for row in self._line))
            self._line.clear()
            for task in under_way:
                task.cancel()  # Only when we are cancelled ourselves.

    def _let_go(self, *references: str) -> None:
        self._moving.difference_update(references)
        self._moved.update(references)

    async def _look_after_own(self, now: datetime) -> bool:
        """What we were sending when the store failed has an outcome that nobody wrote down.

        Once nothing of ours is under way any more, all of it may have been done. False until then.
        """
        if self._failure is None:
            return True
        if self._moving:
            return False
        await self._store.write(
            lambda work: work.deliveries.abandon(DESTINATION, now, self._holder)
        )
        self._failure = None
        return True

    async def _look_at_clock(self, now: datetime) -> None:
        """Set back, it would make work orders wait for as long as it was wrong."""
        last, self._looked_at = self._looked_at, now
        if last is not None and now < last:
            await self._store.write(lambda work: self._pull_in(work, now))

    def _pull_in(self, work: BridgeWork, now: datetime) -> int:
        """Nobody waits longer than any pause of ours lasts."""
        pauses = (LONGEST_PAUSE, self._settings.poll, self._settings.pause)
        farthest = now + max(*pauses, self._mes.capabilities.visibility_lag)
        return work.deliveries.pull_in(DESTINATION, now, farthest)

    async def _guarded(self, row: Delivery) -> None:
        """A failure of one must not let go of the others: they are on their way to the MES."""
        try:
            await self._move(row)
            await self.gate.keep()
        except LeaseLost:
            log.info("work_order.taken_over", work_order_no=row.reference)
        except Exception as failure:  # noqa: BLE001  # Raised by the step, when all are done.
            self._failure = self._failure or failure
        finally:
            self.gate.leave()
            self._let_go(row.reference)

    def _is_seen(self) -> bool:
        """Whether what we begin cannot be begun by another as well."""
        return self._lives is None or self._lives.is_seen

    async def _move(self, row: Delivery) -> None:
        now = self._clock.now()
        move = next_move(row, self._mes.capabilities, now)
        if self._lives is not None and move.do in {Do.LOOK, Do.ASK, Do.RECALL}:
            row = await self._hold(row, now)
        match move.do:
            case Do.SEND:
                await self._send(row)
            case Do.SUSPECT:
                await self._settle(row, Delivered.UNCERTAIN, "the sender is gone", next_at=now)
            case Do.LOOK:
                await self._look(row)
            case Do.ASK:
                await self._ask(row)
            case Do.RECALL:
                await self._recall(row)
            case Do.WAIT:
                await self._postpone(row, move.until)

    async def _hold(self, row: Delivery, now: datetime) -> Delivery:
        """Keep other bridges from the row while the MES is asked.

        Raises:
            LeaseLost: one of them has it.
        """
        until = now + self._settings.longest
        return await self._store.write(
            lambda work: work.deliveries.change(row, next_at=until, **unread(row))
        )

    # --- sending --------------------------------------------------------------------------------

    async def _send(self, row: Delivery) -> None:
        reach(BEFORE_INTENT)
        order, taken = await self._intend(row)
        if order is None or taken is None:
            return
        reach(AFTER_INTENT)
        await self._still_ours(taken)
        reach(BEFORE_SEND)
        try:
            job = await self._submit(work_order_of(order, taken.reference), taken)
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
            await self._confirmed(taken, job)
        reach(AFTER_OUTCOME)

    async def _submit(self, wanted: WorkOrder, taken: Delivery) -> MesJob:
        """Send, and cut it when the others may believe that we are gone."""
        if self._lives is None:
            return await self._mes.submit(wanted)
        if not self._lives.is_seen or self._clock.now() - taken.since > OVERSLEPT:
            raise MesUnavailable("stopped between the intent and the sending")
        sending = asyncio.ensure_future(self._mes.submit(wanted))
        lost = asyncio.ensure_future(self._lives.lost())
        try:
            await asyncio.wait({sending, lost}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            raise MesOutcomeUnknown("cut, because the database was lost")
        finally:
            for one in (sending, lost):
                one.cancel()
            await asyncio.wait({sending, lost})

    async def _intend(self, row: Delivery) -> tuple[Order | None, Delivery | None]:
        """Put the intent to send on disk, unless the order does not allow it any more."""
        now = self._clock.now()

        def intend(work: BridgeWork) -> tuple[Order | None, Delivery | None]:
            taken = work.deliveries.take(row, self._holder, now)
            command = change(row.reference, Delivered.SENDING, f"attempt {taken.attempts}")
            return self._teller.tell(work, row.order_no, command).order, taken

        try:
            return await self._store.write(intend)
        except TransitionRefused:
            await self._store.write(lambda work: self._not_now(work, row, now))
            return None, None

    def _not_now(self, work: BridgeWork, row: Delivery, now: datetime) -> None:
        """The order may not be sent: held, to be cancelled, or replaced by another work order."""
        order = rebuild(work.orders.history(row.order_no))
        current = is_current(order, row.reference)
        if current and order.hold and not order.cancel_request and order.stage not in FINAL:
            work.deliveries.change(row, next_at=now + self._settings.pause)
        elif (known := known_state(order, row.reference)) in ARRIVED:
            # Its own word came while we were about to repeat it: there is nothing to send.
            work.deliveries.change(row, state=known, next_at=now + self._settings.pause)
        elif row.state is Delivered.PENDING:
            work.deliveries.change(row, state=Delivered.RECALLED, since=now, next_at=None)
            if current:
                command = change(row.reference, Delivered.RECALLED, "never sent")
                self._teller.tell(work, row.order_no, command)
        else:
            # It may be there: only a look-up or a person can tell now.
            work.deliveries.change(row, recall_wanted=True, next_at=now + self._settings.pause)

    async def _still_ours(self, taken: Delivery) -> None:
        """An HTTP send cannot be fenced: look once more, just before the bytes leave."""
        row = await self._store.read(lambda work: work.deliveries.get(DESTINATION, taken.reference))
        if row is None or row.lease_token != taken.lease_token:
            raise LeaseLost(taken.reference)

    async def _unsent(self, row: Delivery, taken: Delivery, away: MesUnavailable) -> None:
        """Surely not done: back to its place in the queue, and the attempt does not count."""
        attempts = taken.attempts - 1
        # After an earlier unknown outcome, a repeat that surely failed proves nothing of the first.
        state = Delivered.UNCERTAIN if taken.last_sent_at else Delivered.PENDING
        # Due as it was: the gate holds everything back for as long as it has to.
        await self._settle(taken, state, str(away), next_at=row.next_at, attempts=attempts)

    async def _refused(self, taken: Delivery, why: str) -> None:
        """It said no; but a no to a repeat says nothing of the first, which a person has to see."""
        state = Delivered.UNCERTAIN if taken.last_sent_at else Delivered.REJECTED
        await self._settle(taken, state, why, next_at=None)

    async def _unknown(self, taken: Delivery, why: str) -> None:
        # A look-up has a time of its own. A repeat waits longer after every try: a MES that answers
        # each with an error would be asked without a pause, and the order filled with its answers.
        repeats = self._mes.capabilities.idempotency != "none" and not taken.recall_wanted
        pause = self._longer(taken.attempts, LONGEST_PAUSE) if repeats else timedelta(0)
        await self._settle(taken, Delivered.UNCERTAIN, why, next_at=self._clock.now() + pause)

    def _longer(self, tries: int, longest: timedelta) -> timedelta:
        """A pause that doubles with every try."""
        return min(self._settings.pause * (1 << max(0, min(tries - 1, 16))), longest)

    async def _confirmed(self, row: Delivery, job: MesJob) -> None:
        now = self._clock.now()
        await self._settle(
            row, Delivered.CONFIRMED, None, next_at=now + self._settings.poll, mes_id=job.mes_id
        )

    # --- finding out ----------------------------------------------------------------------------

    async def _look(self, row: Delivery) -> None:
        """Find out what became of an uncertain send; nothing else may follow from silence."""
        try:
            jobs = await self._mes.find(row.reference)
        except MesUnavailable:
            await self._postpone(row, self._clock.now() + self._settings.pause)
            return
        reach(AFTER_LOOK)
        if len(jobs) > 1:
            said = f"{len(jobs)} jobs for one work order"
            await self._settle(row, Delivered.DIVERGED, said, next_at=None)
        elif jobs:
            await self._confirmed(row, jobs[0])
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
            await self._settle(row, Delivered.RECALLED, "the MES never had it", next_at=None)
        else:
            said = "the MES does not have it"
            await self._settle(
                row, Delivered.PENDING, said, next_at=now, absent_seen=0, last_sent_at=None
            )

    async def _ask(self, row: Delivery) -> None:
        """See how far the MES has come; its status words are claims, checked by the lifecycle."""
        now = self._clock.now()
        try:
            jobs = await self._mes.find(row.reference)
        except MesUnavailable:
            await self._postpone(row, now + self._settings.pause)
            return
        if len(jobs) == 1:
            await self._store.write(lambda work: self._hearing.hear(work, row, jobs[0], now))
        else:
            await self._store.write(
                lambda work: self._hearing.hear_nonsense(work, row, len(jobs), now)
            )

    # --- taking back ----------------------------------------------------------------------------

    async def _recall(self, row: Delivery) -> None:
        try:
            await self._mes.recall(row.reference)
        except RecallRefused as no:
            why = str(no)
            await self._store.write(lambda work: self._not_given_back(work, row, why))
            return
        except MesUnavailable:
            await self._postpone(row, self._clock.now() + self._settings.pause)
            return
        reach(AFTER_RECALL)
        await self._settle(row, Delivered.RECALLED, "taken back", next_at=None)

    def _not_given_back(self, work: BridgeWork, row: Delivery, why: str) -> None:
        again = self._clock.now() + self._settings.poll
        work.deliveries.change(row, recall_wanted=False, next_at=again)
        self._teller.tell(work, row.order_no, RecordRecallRefused(row.reference, why))

    # --- writing down ---------------------------------------------------------------------------

    async def _settle(
        self,
        row: Delivery,
        state: Delivered,
        detail: str | None,
        *,
        next_at: datetime | None,
        **columns: Any,
    ) -> None:
        """Write an outcome to the row and to the order, in one commit."""
        now = self._clock.now()
        if state is Delivered.UNCERTAIN:
            columns["last_sent_at"] = now  # Whatever carried it is surely over by now.

        def settle(work: BridgeWork) -> None:
            command = change(row.reference, state, detail, columns.get("mes_id"))
            order = self._teller.tell(work, row.order_no, command).order
            # The MES's own word may have overtaken this outcome: the order knows better then.
            known = known_state(order, row.reference) or state
            due = next_at if known is state else now  # What is next depends on what it is.
            work.deliveries.change(
                row, state=known, since=now, detail=detail, holder=None, next_at=due, **columns
            )

        await self._store.write(settle)

    async def _postpone(self, row: Delivery, until: datetime | None) -> None:
        await self._store.write(lambda work: work.deliveries.change(row, next_at=until))


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
