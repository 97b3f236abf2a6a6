"""A MES in memory that does its worst: late, lost, doubled, lying by silence.

Never by a look-up after its visibility lag, since against that nothing helps. It lives by the true
time: our own clock may jump, its does not.
"""

from asyncio import CancelledError, Future
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from orderkeep.bridge.ports import (
    Capabilities,
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    NotShown,
    RecallRefused,
    WorkOrder,
)
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.testing.faults import Faults

ROAD = ("accepted", "started", "completed", "packaging", "shipped")
FAULTS = (
    "refuse",
    "away",
    "full",
    "lost",
    "done_then_lost",
    "done_then_refused",
    "slow",
    "slow_then_lost",
    "broken",
)
LAG = timedelta(seconds=8)
PAGE = 2
"""Changes that the feed tells at a time."""
_CARELESS = 0.15
"""How often a look-up or a recall gets no usable answer while things go wrong."""


@dataclass(frozen=True)
class Job:
    """What the MES knows of a reference."""

    mes_id: str
    status: str
    visible_at: datetime


class SimMes:
    """Counts what it really did in ``effects``; misbehaves as the history's faults say."""

    def __init__(
        self,
        chance: Random,
        faults: Faults,
        now: Callable[[], datetime],
        pause: Callable[[], "Future[None]"],
        capabilities: Capabilities,
    ) -> None:
        self.capabilities = capabilities
        self.effects: Counter[str] = Counter()
        self.jobs: dict[str, Job] = {}
        self.bodies: dict[str, str] = {}
        self._chance = chance
        self._faults = faults
        self._now = now
        self._pause = pause
        self._refusing: set[str] = set()
        self._late: list[tuple[datetime, WorkOrder]] = []
        self._told: list[MesJob] = []

    async def submit(self, work_order: WorkOrder) -> MesJob:
        if work_order.reference in self._refusing:
            self._refusing.discard(work_order.reference)
            raise MesRejected("you have sent this before", status=409)
        match self._faults.take_mes_fault():
            case "away" | "full" as fault:
                raise _unavailable(fault)
            case "refuse":
                raise MesRejected("no such material", status=422)
            case "lost":
                raise MesOutcomeUnknown("reset before anything was done")
            case "done_then_lost":
                self._do(work_order)
                raise MesOutcomeUnknown("no answer")
            case "done_then_refused":
                self._do(work_order)
                self._refusing.add(work_order.reference)
                raise MesOutcomeUnknown("no answer")
            case "broken":
                self._do(work_order)
                raise RuntimeError("an answer that the adapter did not expect")
            case "slow":
                await self._wait(work_order)
                return self._do(work_order)
            case "slow_then_lost":
                await self._wait(work_order)
                self._do_late(work_order)
                raise MesOutcomeUnknown("timeout")
            case _:
                return self._do(work_order)

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        if not self.capabilities.lookup:
            raise MesUnavailable("no look-up")
        self._may_be_busy()
        job = self.jobs.get(reference)
        return [_shown(reference, job)] if job and job.visible_at <= self._now() else []

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        return [_shown(reference, job) for reference, job in self.jobs.items()], None

    async def changes(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        self._may_be_busy()
        begin = int(cursor or 0)
        page = self._told[begin : begin + PAGE]
        return page, str(begin + len(page))

    async def recall(self, reference: WorkOrderRef) -> None:
        self._may_be_busy()
        job = self.jobs.get(reference)
        if job is None:
            raise NotShown("not shown")
        if not self.capabilities.recall or job.status not in {"accepted", "recalled"}:
            raise RecallRefused("being made")
        self._set(reference, replace(job, status="recalled"))
        self._may_be_busy()  # Done, and the answer is lost.

    # --- the world's side -----------------------------------------------------------------------

    def catch_up(self) -> None:
        """Do what slow requests wanted, once their time has come."""
        now = self._now()
        due = [late for late in self._late if late[0] <= now]
        self._late = [late for late in self._late if late[0] > now]
        for at, work_order in due:
            self._do(work_order, at, LAG / 2)

    def advance(self, reference: str) -> None:
        """A job is worked on: one step further."""
        job = self.jobs[reference]
        if job.status in ROAD[:-1]:
            self._set(reference, replace(job, status=ROAD[ROAD.index(job.status) + 1]))

    def scrap(self, reference: str) -> None:
        """What was begun is thrown away: somebody there says so, the MES itself does not."""
        self._set(reference, replace(self.jobs[reference], status="scrapped"))

    def _set(self, reference: str, job: Job) -> None:
        self.jobs[reference] = job
        self._told.append(_shown(reference, job))

    async def _wait(self, work_order: WorkOrder) -> None:
        try:
            await self._pause()
        except CancelledError:
            # The process died; what it had sent lives on.
            if self._chance.random() < 0.5:  # Every other time.
                self._do_late(work_order)
            raise

    def _do_late(self, work_order: WorkOrder) -> None:
        """The connection is gone, the request is not: done and shown within the lag from now."""
        self._late.append((self._now() + LAG / 2 * self._chance.random(), work_order))

    def _may_be_busy(self) -> None:
        if self._faults.mes and self._chance.random() < _CARELESS:
            self._faults.struck["mes busy"] += 1
            raise MesUnavailable("busy")

    def _do(
        self, work_order: WorkOrder, at: datetime | None = None, lag: timedelta = LAG
    ) -> MesJob:
        """Do it, now or at an instant that the world's clock has stepped over."""
        reference = work_order.reference
        known = self.jobs.get(reference)
        if known and self.capabilities.idempotency != "none":
            return _shown(reference, known)
        self.effects[reference] += 1
        self.bodies[reference] = work_order.body_sha256
        shown_at = (at or self._now()) + lag * self._chance.random()
        job = Job(f"M{self.effects.total()}", "accepted", shown_at)
        self._set(reference, job)
        return _shown(reference, job)


def _unavailable(fault: str) -> MesUnavailable:
    if fault == "full":
        return MesUnavailable("no room", retry_after=LAG / 2, status=429)
    return MesUnavailable("no connection")


def _shown(reference: str, job: Job) -> MesJob:
    return MesJob(job.mes_id, reference, job.status)
