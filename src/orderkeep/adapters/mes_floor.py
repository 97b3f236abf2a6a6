"""The built-in floor as a MES: the bridge reaches it through the same port as any other."""

from collections.abc import Sequence
from datetime import timedelta

from orderkeep.bridge.ports import Capabilities, MesJob, MesUnavailable, RecallRefused, WorkOrder
from orderkeep.floor.work_order import Job, StepRefused
from orderkeep.floor.workshop import JobNotFound, Workshop
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable
from orderkeep.kernel.ids import WorkOrderRef

_PAGE = 500


class FloorMes:
    """The workshop behind the ``Mes`` port."""

    capabilities = Capabilities(
        idempotency="reference",
        lookup=True,
        recall=True,
        listing=True,
        visibility_lag=timedelta(0),
        tells=True,
    )

    def __init__(self, workshop: Workshop, clock: Clock) -> None:
        self._workshop = workshop
        self._clock = clock

    async def submit(self, work_order: WorkOrder) -> MesJob:
        """Take the work order in; a repeated reference is answered with the one that is there."""
        try:
            return _shown(await self._workshop.take_in(_job(work_order, self._clock), ""))
        except Unavailable as busy:
            raise MesUnavailable(str(busy), retry_after=busy.retry_after) from busy

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        """The one work order of a reference, or none."""
        job = await self._workshop.find(reference)
        return [_shown(job)] if job else []

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        """A page of all work orders."""
        jobs = await self._workshop.page(cursor, _PAGE)
        return [_shown(job) for job in jobs], jobs[-1].reference if len(jobs) == _PAGE else None

    async def recall(self, reference: WorkOrderRef) -> None:
        """Take a work order back that nobody has started, or that has ended by itself."""
        try:
            await self._workshop.act(reference, "recall")
        except JobNotFound:
            return  # It never came: it will not be made.
        except StepRefused as no:
            job = await self._workshop.find(reference)
            if job is None or job.status != "scrapped":
                raise RecallRefused(str(no)) from no
            # Scrapped meanwhile, because the order was cancelled: that is no refusal.


def _job(work_order: WorkOrder, clock: Clock) -> Job:
    now = clock.now()
    return Job(
        reference=work_order.reference,
        order_no=work_order.order_no,
        body_sha256=work_order.body_sha256,
        positions=list(work_order.positions),
        promise_at=work_order.promise_at,
        status="queued",
        status_since=now,
        seq=1,
        operator=None,
        created_at=now,
    )


def _shown(job: Job) -> MesJob:
    return MesJob(mes_id=job.reference, reference=job.reference, status=job.status)
