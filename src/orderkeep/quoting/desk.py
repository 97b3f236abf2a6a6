"""The price desk: takes questions from the inbox, has files measured, writes the answer down.

A question is a row, so that it survives a restart; its worker holds it by a lease. Measurements
are kept by the file's hash; prices never are, since books change.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from orderkeep.delivery.ports import InboxStore, Received
from orderkeep.files.ports import FileKeeper, FileNotFound
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.money import Money
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import (
    ApproveOrder,
    OrderCommand,
    RecordManual,
    RecordPrice,
    RecordPricingFailure,
    StartPricing,
)
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import Handled, OrderMaster
from orderkeep.orders.order import ManualReason, Order, Position, PriceLine
from orderkeep.orders.ports import OrderWork
from orderkeep.quoting.measurement import KERNEL_VERSION, Finding, Manual, Measurement, Outcome
from orderkeep.quoting.ports import Engine, EngineUnavailable, ModelFile
from orderkeep.quoting.price_book import PriceBook
from orderkeep.quoting.quote import Item, ManualReasons, PricedOrder, Quote, quote_order

AFTER_TAKE = failpoint("quoting.after_take", "the question is held, nothing is measured")
AFTER_MEASURE = failpoint("quoting.after_measure", "measured, the answer is not written down")
AFTER_ANSWER = failpoint("quoting.after_answer", "the price is on disk")

DEADLINE = timedelta(minutes=2)
ATTEMPTS = 3
AT_ONCE = 4
"""Questions under way at once in one process."""
LEASE = AT_ONCE * DEADLINE + timedelta(minutes=1)
"""Begun anew before each file, which may have to wait for the files of all other questions."""
PAUSE = timedelta(seconds=5)
UNIT = "mm"

log = structlog.get_logger()


class PriceJob(msgspec.Struct, frozen=True):
    """A question held: which order, which version of its price."""

    row: int
    token: int
    order_no: OrderNo
    version: int
    attempts: int


class QuestionLost(Exception):
    """The lease of a question ended while it was being answered."""


class PriceJobs(Protocol):
    """Questions that wait for a price."""

    def add(self, no: OrderNo, version: int, now: datetime) -> None:
        """Keep a question; one that is known is left as it is."""
        ...

    def waits(self, now: datetime) -> bool:
        """Whether there is something to take."""
        ...

    def take(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[PriceJob]:
        """Hold waiting questions, oldest first, counting an attempt."""
        ...

    def done(self, job: PriceJob) -> bool:
        """The question is answered; False when the job is not held under its token any more."""
        ...

    def renew(self, job: PriceJob, lease_ends: datetime) -> bool:
        """Hold on until ``lease_ends``; False when the job is not held under its token any more."""
        ...

    def free_taken(self, lease_ends: datetime) -> None:
        """Free what was taken with this lease, by a take that nobody knows the outcome of."""
        ...

    def give_back(self, job: PriceJob, due: datetime) -> None:
        """Nobody looked at it properly: free again at ``due``, the attempt not counted."""
        ...

    def put_back(self, job: PriceJob, due: datetime) -> None:
        """Not answered: free again at ``due``."""
        ...

    def release_all(self) -> int:
        """At start, when every earlier holder is proven gone: free what they held; how many."""
        ...


class Measurements(Protocol):
    """What is known about files that were measured before."""

    def get(self, sha256: str, unit: str, kernel_version: str) -> Outcome | None: ...

    def put(
        self, sha256: str, unit: str, kernel_version: str, outcome: Outcome, now: datetime
    ) -> None: ...


class QuotingWork(OrderWork, Protocol):
    """A unit of work of the price desk."""

    @property
    def price_jobs(self) -> PriceJobs: ...

    @property
    def measurements(self) -> Measurements: ...

    @property
    def inbox(self) -> InboxStore: ...


Debt = Callable[[PriceJobs], None]
"""What is still to be told about a question that the store could not be told about."""

ApprovalRule = Callable[[Any, Order], str | None]
"""Names the rule that approves a priced order without a person, or None."""


class PriceDesk:
    """Answers price questions; each of a few loops takes the next one as it ends the one before."""

    def __init__(
        self,
        store: Store[QuotingWork],
        master: OrderMaster,
        engine: Engine,
        files: FileKeeper,
        book: PriceBook,
        rule: ApprovalRule,
        clock: Clock,
    ) -> None:
        self._store = store
        self._master = master
        self._engine = engine
        self._files = files
        self._book = book
        self._rule = rule
        self._clock = clock
        self._owed: list[Debt] = []

    def handle(self, work: QuotingWork, received: Received, now: datetime) -> None:
        """Take an announcement that a price is wanted."""
        body = msgspec.json.decode(received.envelope.body)
        work.price_jobs.add(OrderNo(body["order_no"]), body["version"], now)
        work.wake("quoting")

    async def recover(self) -> int:
        """At start: whoever held a question is gone. Returns how many were freed."""
        return await self._store.write(lambda work: work.price_jobs.release_all())

    async def step(self) -> int:
        """Answer one question; returns 0 when none waits. Several steps may run at once."""
        job = await self._next()
        if job is None:
            return 0
        reach(AFTER_TAKE)
        try:
            await self._guarded(job)
        except (Conflict, Unavailable, Uncertain):
            # The store's trouble, not the question's: it must not wait until its lease ends.
            self._owed.append(lambda jobs: jobs.give_back(job, self._clock.now() + PAUSE))
            raise
        return 1

    async def _next(self) -> PriceJob | None:
        now, owed = self._clock.now(), tuple(self._owed)
        if not owed and not await self._store.read(lambda work: work.price_jobs.waits(now)):
            return None  # Every idle loop looks: a look must not cost a commit.
        try:
            jobs = await self._store.write(lambda work: self._take(work, now, owed))
        except Uncertain:
            # Nobody knows which question is held now, but this lease tells.
            self._owed.append(lambda jobs: jobs.free_taken(now + LEASE))
            raise
        self._owed = [debt for debt in self._owed if debt not in owed]
        return next(iter(jobs), None)

    async def _guarded(self, job: PriceJob) -> None:
        """A question that we fail at must not come back for ever: in the end a seller is asked."""
        try:
            await self._answer(job)
        except (Conflict, Unavailable, Uncertain):
            raise
        except Exception as failure:  # Top of the desk: kept with its reason.
            log.exception("price.failed", order_id=job.order_no, attempt=job.attempts)
            await self._unanswered(job, type(failure).__name__)

    def _take(self, work: QuotingWork, now: datetime, owed: Sequence[Debt]) -> Sequence[PriceJob]:
        for debt in owed:
            debt(work.price_jobs)
        jobs = work.price_jobs.take(now, now + LEASE, 1)
        for job in jobs:
            self._tell(work, job, StartPricing(job.version), now)
        return jobs

    async def _answer(self, job: PriceJob) -> None:
        order = await self._store.read(lambda work: rebuild(work.orders.history(job.order_no)))
        if order.price.version != job.version:
            await self._store.write(lambda work: work.price_jobs.done(job))
            return
        try:
            outcomes = [await self._measured(job, position) for position in order.positions]
        except EngineUnavailable as away:
            await self._unanswered(job, str(away))
            return
        except QuestionLost:
            return
        reach(AFTER_MEASURE)
        priced = quote_order([_item(p) for p in order.positions], outcomes, self._book)
        await self._write_down(job, answer(job.version, priced))
        reach(AFTER_ANSWER)

    async def _measured(self, job: PriceJob, position: Position) -> Outcome | None:
        """What measuring a position's file says; None for a ready-made piece."""
        if position.sku is not None:
            return None
        sha256 = position.file_sha256 or ""
        known = await self._store.read(
            lambda work: work.measurements.get(sha256, UNIT, KERNEL_VERSION)
        )
        return known or await self._measure(job, sha256)

    async def _measure(self, job: PriceJob, sha256: str) -> Outcome:
        lease_ends = self._clock.now() + LEASE
        if not await self._store.write(lambda work: work.price_jobs.renew(job, lease_ends)):
            raise QuestionLost("Another worker holds the question now; its answer counts.")
        try:
            async with self._files.open(sha256) as path:
                outcome = await self._engine.measure(ModelFile(path, UNIT), DEADLINE)
        except FileNotFound:
            return Manual((Finding("file_lost", "The model file is not in the store."),))
        if isinstance(outcome, Measurement) or not _is_about_the_machine(outcome):
            now = self._clock.now()
            await self._store.write(
                lambda work: work.measurements.put(sha256, UNIT, KERNEL_VERSION, outcome, now)
            )
        return outcome

    async def _write_down(self, job: PriceJob, command: OrderCommand) -> None:
        now = self._clock.now()

        def unit(work: QuotingWork) -> None:
            if not work.price_jobs.done(job):
                return  # Another worker holds the question now; its answer counts.
            order = self._tell(work, job, command, now).order
            rule = self._rule(work, order)
            if rule is not None:
                self._tell(work, job, ApproveOrder(rule), now, Actor(ActorKind.RULE, rule))

        await self._store.write(unit)

    async def _unanswered(self, job: PriceJob, why: str) -> None:
        """The engine was away: the question waits, and after some tries a seller is asked."""
        if job.attempts >= ATTEMPTS:
            await self._write_down(job, RecordPricingFailure(job.version, why))
            return
        due = self._clock.now() + PAUSE
        await self._store.write(lambda work: work.price_jobs.put_back(job, due))

    def _tell(
        self,
        work: QuotingWork,
        job: PriceJob,
        command: OrderCommand,
        now: datetime,
        actor: Actor | None = None,
    ) -> Handled:
        actor = actor or Actor(ActorKind.ENGINE, KERNEL_VERSION)
        cause = Cause(actor, type(command).__name__, "quoting", "")
        return self._master.apply(work, job.order_no, command, cause, now)


def answer(version: int, priced: PricedOrder | ManualReasons) -> RecordPrice | RecordManual:
    """The order's command for what the price book said."""
    if isinstance(priced, ManualReasons):
        reasons = [ManualReason(r.position, r.code, r.message) for r in priced.reasons]
        return RecordManual(version, reasons)
    lines = [_line(at, quote) for at, quote in enumerate(priced.positions, start=1)]
    total = Money(priced.total, priced.currency)
    return RecordPrice(version, total, lines, priced.book_version)


def _line(position: int, quote: Quote) -> PriceLine:
    return PriceLine(
        position=position,
        unit=str(quote.unit),
        total=str(quote.total),
        lines=[msgspec.to_builtins(line) for line in quote.lines],
        mass_g=str(quote.mass_g),
        volume_mm3=None if quote.volume_mm3 is None else str(quote.volume_mm3),
    )


def _item(position: Position) -> Item:
    return Item(position.quantity, position.material, position.sku, position.engraving)


def _is_about_the_machine(outcome: Manual) -> bool:
    """Whether the reason lies with us and not with the file: such an answer is not kept."""
    return any(finding.code in _OURS for finding in outcome.reasons)


_OURS = frozenset({"killed", "resource_limit", "timeout", "cancelled", "file_lost"})
