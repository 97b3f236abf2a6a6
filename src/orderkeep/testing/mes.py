"""A MES in memory that does its worst: late, lost, doubled, lying by silence. Never by a look-up
after its visibility lag, since against that nothing helps."""

from asyncio import Future
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random

from orderkeep.bridge.ports import (
    Capabilities,
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    RecallRefused,
    WorkOrder,
)
from orderkeep.kernel.ids import WorkOrderRef

ROAD = ("accepted", "started", "completed", "packaging", "shipped")


class SimMes:
    """Counts what it really did in ``effects``; faults come from ``fault``, names below."""

    FAULTS = ("refuse", "away", "lost", "done_then_lost", "slow", "slow_then_lost")

    def __init__(
        self,
        chance: Random,
        now: Callable[[], datetime],
        pause: Callable[[], "Future[None]"],
        capabilities: Capabilities,
    ) -> None:
        self.capabilities = capabilities
        self.effects: Counter[str] = Counter()
        self.jobs: dict[str, tuple[MesJob, datetime]] = {}
        self.bodies: dict[str, str] = {}
        self.recalled: set[str] = set()
        self.next_faults: list[str] = []
        self._chance = chance
        self._now = now
        self._pause = pause
        self._late: list[tuple[datetime, WorkOrder]] = []

    async def submit(self, work_order: WorkOrder) -> MesJob:
        fault = self.next_faults.pop() if self.next_faults else None
        match fault:
            case "away":
                raise MesUnavailable("no connection")
            case "refuse":
                raise MesRejected("no such material", status=422)
            case "lost":
                raise MesOutcomeUnknown("reset before anything was done")
            case "done_then_lost":
                self._do(work_order)
                raise MesOutcomeUnknown("no answer")
            case "slow":
                await self._pause()
                return self._do(work_order)
            case "slow_then_lost":
                # The request lives on at the MES after the connection is gone: a zombie.
                self._late.append((self._now() + self.capabilities.visibility_lag / 2, work_order))
                await self._pause()
                raise MesOutcomeUnknown("timeout")
            case _:
                return self._do(work_order)

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        if not self.capabilities.lookup:
            raise MesUnavailable("no look-up")
        if self.next_faults and self._chance.random() < 0.2:  # noqa: PLR2004  # A fifth.
            raise MesUnavailable("busy")
        known = self.jobs.get(reference)
        if known is None or known[1] + self.capabilities.visibility_lag > self._now():
            return []
        return [known[0]]

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        return [job for job, _ in self.jobs.values()], None

    async def recall(self, reference: WorkOrderRef) -> None:
        known = self.jobs.get(reference)
        if known is None:
            raise MesUnavailable("not shown")
        if known[0].status not in {"accepted", "recalled"}:
            raise RecallRefused("being made")
        self._put(MesJob(known[0].mes_id, reference, "recalled"))
        self.recalled.add(reference)

    # --- the world's side -----------------------------------------------------------------------

    def catch_up(self) -> None:
        """Do what slow requests wanted, once their time has come."""
        now = self._now()
        due = [work_order for at, work_order in self._late if at <= now]
        self._late = [(at, work_order) for at, work_order in self._late if at > now]
        for work_order in due:
            self._do(work_order)

    def advance(self, reference: str) -> None:
        """A job is worked on: one step further."""
        job, since = self.jobs[reference]
        if job.status in ROAD[:-1]:
            status = ROAD[ROAD.index(job.status) + 1]
            self.jobs[reference] = (MesJob(job.mes_id, reference, status), since)

    def _do(self, work_order: WorkOrder) -> MesJob:
        known = self.jobs.get(work_order.reference)
        if known and self.capabilities.idempotency != "none":
            return known[0]
        self.effects[work_order.reference] += 1
        self.bodies[work_order.reference] = work_order.body_sha256
        mes_id = f"M{sum(self.effects.values())}"
        return self._put(MesJob(mes_id, work_order.reference, "accepted"))

    def _put(self, job: MesJob) -> MesJob:
        known = self.jobs.get(job.reference)
        self.jobs[job.reference] = (job, known[1] if known else self._now())
        return job


LAG = timedelta(seconds=8)
