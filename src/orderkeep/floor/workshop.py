"""What people do on the floor, and what the floor says about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Received
from orderkeep.floor.ports import FloorWork
from orderkeep.floor.work_order import STEPS, Job, StepRefused, step
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import Ids, OrderNo, WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import CancelAnyway
from orderkeep.orders.events import Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import Handled, OrderMaster
from orderkeep.orders.messages import FLOOR_WORD, FloorSaid, FloorWord
from orderkeep.orders.order import Stage
from orderkeep.orders.refusals import TransitionRefused

BEFORE_STEP = failpoint("floor.before_step", "an operator has asked, nothing is written")
AFTER_STEP = failpoint("floor.after_step", "the step and its message are on disk")

_ENDINGS = frozenset({"recall", "scrap"})
"""What may still be done for an order that is cancelled."""
_PURPOSES = {"rework": "rework", "cannot-be-made": "cannot_be_made"}
_SCHEMA_VERSION = 1


class JobNotFound(Refused):
    """The floor has no such work order."""


class Workshop:
    """The built-in floor. Every step and its message are one commit."""

    def __init__(self, store: Store[FloorWork], clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def take_in(self, job: Job, trace_id: str) -> Job:
        """Keep a work order; a reference that is there already is answered with what is there."""

        def unit(work: FloorWork) -> Job:
            known = work.floor.get(job.reference)
            if known:
                return known
            work.floor.add(job)
            self._say(work, job, "accepted", {}, trace_id)
            return job

        return await self._store.write(unit)

    async def find(self, reference: str) -> Job | None:
        """The work order of a reference, or None."""
        return await self._store.read(lambda work: work.floor.get(reference))

    async def page(self, after: str | None, limit: int) -> Sequence[Job]:
        """Work orders in the order they came."""
        return await self._store.read(lambda work: work.floor.page(after, limit))

    async def act(  # A step's facts, all optional but two.
        self,
        reference: str,
        action: str,
        operator: str | None = None,
        *,
        reason: str | None = None,
        tracking_no: str | None = None,
        carrier: str | None = None,
    ) -> Job:
        """Do a step: ``start done pack ship hand-back rework cannot-be-made recall scrap``.

        Raises:
            JobNotFound: the floor has no such work order.
            StepRefused: not possible where it is, or the order is cancelled.
        """
        reach(BEFORE_STEP)
        now = self._clock.now()
        said = {
            "reason": reason,
            "tracking_no": tracking_no,
            "carrier": carrier,
            "purpose": _PURPOSES.get(action),
        }

        def unit(work: FloorWork) -> Job:
            if action not in _ENDINGS:
                _refuse_if_cancelled(work, _found(work.floor.get(reference), reference), action)
            return self._step(work, reference, action, operator, said, now)

        job = await self._store.write(unit)
        reach(AFTER_STEP)
        return job

    async def cancel_anyway(
        self,
        master: OrderMaster,
        no: OrderNo,
        command: CancelAnyway,
        cause: Cause,
        expected_version: int | None = None,
    ) -> Handled:
        """Cancel an order whatever its work order stands at, unless its parcel has left.

        The floor's word of the parcel may still be on its way to the order: it is the work order
        that tells, and it does not move meanwhile.

        Raises:
            TransitionRefused: the parcel has left, or not possible where the order is.
            StaleOrder: the order is not at ``expected_version`` any more.
        """
        now = self._clock.now()

        def unit(work: FloorWork) -> Handled:
            order = master.load(work, no).order
            job = work.floor.hold(order.work_order.reference) if order.work_order else None
            if job and job.status == "shipped":
                raise TransitionRefused(order, "cancel-anyway", "The parcel has left already.")
            return master.apply(work, no, command, cause, now, expected_version)

        return await self._store.write(unit)

    def order_cancelled(self, work: FloorWork, received: Received, now: datetime) -> None:
        """An order will not be made: its work order leaves the floor, begun or not."""
        body = msgspec.json.decode(received.envelope.body)
        job = work.floor.hold(body["reference"])
        if job and job.status in STEPS["scrap"][0]:
            action = "recall" if job.status == "queued" else "scrap"
            self._step(work, job.reference, action, None, {"reason": "order cancelled"}, now)

    def _step(
        self,
        work: FloorWork,
        reference: str,
        action: str,
        operator: str | None,
        said: Mapping[str, str | None],
        now: datetime,
    ) -> Job:
        # Held before it is read: of two steps at once the second sees where the first has led.
        job = _found(work.floor.hold(reference), reference)
        moved, word = step(job, action, operator, now)
        if word:
            work.floor.put(moved)
            self._say(work, moved, word, said)
        return moved

    def _say(
        self,
        work: FloorWork,
        job: Job,
        word: str,
        facts: Mapping[str, str | None],
        trace_id: str = "",
    ) -> None:
        said = FloorWord(word, job.operator, **facts)
        body = FloorSaid(job.order_no, WorkOrderRef(job.reference), job.seq, said)
        envelope = Envelope(
            id=self._ids.envelope_id(job.status_since),
            kind=FLOOR_WORD,
            schema_version=_SCHEMA_VERSION,
            order_key=job.order_no,
            at=job.status_since,
            trace_id=trace_id,
            body=msgspec.json.encode(body),
        )
        work.outbox.post([envelope])
        work.wake("relay")


def _found(job: Job | None, reference: str) -> Job:
    if job is None:
        raise JobNotFound("The floor has no such work order.", reference=reference)
    return job


def _refuse_if_cancelled(work: FloorWork, job: Job, action: str) -> None:
    """The order may be cancelled and the floor not have heard of it yet.

    The order is held before its work order is, as where it is cancelled: nobody waits in a circle.
    """
    if rebuild(work.orders.history(job.order_no)).stage is Stage.CANCELLED:
        raise StepRefused(job, action, "The order is cancelled.")


__all__ = ["JobNotFound", "StepRefused", "Workshop"]
