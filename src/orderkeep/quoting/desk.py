"""The price desk: takes questions from the inbox, has files measured, writes the answer down.

A question is a row, so that it survives a restart; its worker holds it by a lease. Measurements
are kept by the file's hash; prices never are, since books change.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog

from orderkeep.delivery.ports import Received
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
from orderkeep.orders.master import Handled, Loaded, OrderMaster, Then
from orderkeep.orders.order import ManualReason, Order, Position, PriceLine
from orderkeep.quoting.holding import LEASE, held
from orderkeep.quoting.measurement import KERNEL_VERSION, Finding, Manual, Measurement, Outcome
from orderkeep.quoting.ports import Engine, EngineUnavailable, ModelFile
from orderkeep.quoting.price_book import PriceBook
from orderkeep.quoting.quote import Item, ManualReasons, PricedOrder, Quote, quote_order
from orderkeep.quoting.work import PriceJob, PriceJobs, QuotingWork

AFTER_TAKE = failpoint("quoting.after_take", "the question is held, nothing is measured")
AFTER_MEASURE = failpoint("quoting.after_measure", "measured, the answer is not written down")
AFTER_ANSWER = failpoint("quoting.after_answer", "the price is on disk")

DEADLINE = timedelta(minutes=2)
ATTEMPTS = 3
AT_ONCE = 4
"""Questions under way at once in one process."""
BATCH = 32
"""Questions without anything to measure that are answered together."""
PAUSE = timedelta(seconds=5)
UNIT = "mm"

log = structlog.get_logger()


class Held(msgspec.Struct, frozen=True):
    """A question held, with what answering it begins with."""

    job: PriceJob
    loaded: Loaded
    known: Sequence[Outcome | None]
    """Of each position: what measuring its file says; None if nobody has measured it yet."""

    @property
    def is_quick(self) -> bool:
        """Whether there is nothing to measure."""
        positions = self.loaded.order.positions
        return all(
            position.sku is not None or outcome is not None
            for position, outcome in zip(positions, self.known, strict=True)
        )


class QuestionLost(Exception):
    """The lease of a question ended while it was being answered."""


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
        """Answer all that need no measuring, or one that does; how many. Several may run at once.

        Raises:
            Conflict, Unavailable, Uncertain: the store was in trouble, after all have been tried.
        """
        held = await self._next()
        for _ in held:
            reach(AFTER_TAKE)
        # Units that wait together share one commit.
        fates = await asyncio.gather(*(self._kept(one) for one in held), return_exceptions=True)
        for fate in fates:
            if isinstance(fate, BaseException):
                raise fate
        return len(held)

    async def _kept(self, held: Held) -> None:
        try:
            await self._guarded(held)
        except (Conflict, Unavailable, Uncertain):
            # The store's trouble, not the question's: it must not wait until its lease ends.
            self._owed.append(lambda jobs: jobs.give_back(held.job, self._clock.now() + PAUSE))
            raise

    async def _next(self) -> Sequence[Held]:
        now, owed = self._clock.now(), tuple(self._owed)
        if not owed and not await self._store.read(lambda work: work.price_jobs.waits(now)):
            return ()  # Every idle loop looks: a look must not cost a commit.
        try:
            held = await self._taken(now, owed)
        except Uncertain:
            # Nobody knows which question is held now, but this lease tells.
            self._owed.append(lambda jobs: jobs.free_taken(now + LEASE))
            raise
        self._owed = [debt for debt in self._owed if debt not in owed]
        return held

    async def _taken(self, now: datetime, owed: Sequence[Debt]) -> Sequence[Held]:
        try:
            return await self._store.write(lambda work: self._take(work, now, owed, BATCH))
        except (Conflict, Unavailable, Uncertain):
            raise
        except Exception:  # One of them cannot be taken: those before it can.
            log.exception("price.batch_failed")
            return await self._store.write(lambda work: self._take(work, now, owed, 1))

    async def _guarded(self, held: Held) -> None:
        """A question that we fail at must not come back for ever: in the end a seller is asked."""
        try:
            await self._answer(held)
        except (Conflict, Unavailable, Uncertain):
            raise
        except Exception as failure:  # Top of the desk: kept with its reason.
            job = held.job
            log.exception("price.failed", order_id=job.order_no, attempt=job.attempts)
            await self._unanswered(held, type(failure).__name__)

    def _take(
        self, work: QuotingWork, now: datetime, owed: Sequence[Debt], limit: int
    ) -> Sequence[Held]:
        for debt in owed:
            debt(work.price_jobs)
        seen: list[Held] = []

        def goes_with(job: PriceJob) -> bool:
            # A file is measured in a place of its own: the next who looks takes that question.
            one = self._read(work, job)
            seen.append(one)
            return len(seen) == 1 or (seen[0].is_quick and one.is_quick)

        jobs = work.price_jobs.take(now, now + LEASE, limit, goes_with)
        return [self._begun(work, job, one, now) for job, one in zip(jobs, seen, strict=False)]

    def _read(self, work: QuotingWork, job: PriceJob) -> Held:
        loaded = self._master.load(work, job.order_no)
        known = [
            work.measurements.get(position.file_sha256 or "", UNIT, KERNEL_VERSION)
            if position.sku is None
            else None
            for position in loaded.order.positions
        ]
        return Held(job, loaded, known)

    def _begun(self, work: QuotingWork, job: PriceJob, read: Held, now: datetime) -> Held:
        begun = self._tell(work, read.loaded, StartPricing(job.version), now)
        return Held(job, Loaded(begun.order, read.loaded.trace_id), read.known)

    async def _answer(self, held: Held) -> None:
        job, order = held.job, held.loaded.order
        if order.price.version != job.version:
            await self._store.write(lambda work: work.price_jobs.done(job))
            return
        try:
            outcomes = [
                known or await self._measured(job, position)
                for position, known in zip(order.positions, held.known, strict=True)
            ]
        except EngineUnavailable as away:
            await self._unanswered(held, str(away))
            return
        except QuestionLost:
            return
        reach(AFTER_MEASURE)
        priced = quote_order([_item(p) for p in order.positions], outcomes, self._book)
        await self._write_down(held, answer(job.version, priced))
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
        await self._renew(job)
        try:
            async with self._files.open(sha256) as path:
                measuring = self._engine.measure(ModelFile(path, UNIT), DEADLINE)
                outcome = await held(measuring, partial(self._renew, job))
        except FileNotFound:
            return Manual((Finding("file_lost", "The model file is not in the store."),))
        if isinstance(outcome, Measurement) or not _is_about_the_machine(outcome):
            now = self._clock.now()
            await self._store.write(
                lambda work: work.measurements.put(sha256, UNIT, KERNEL_VERSION, outcome, now)
            )
        return outcome

    async def _renew(self, job: PriceJob) -> None:
        lease_ends = self._clock.now() + LEASE
        if not await self._store.write(lambda work: work.price_jobs.renew(job, lease_ends)):
            raise QuestionLost("Another worker holds the question now; its answer counts.")

    async def _write_down(self, held: Held, command: OrderCommand) -> None:
        now = self._clock.now()

        def unit(work: QuotingWork) -> None:
            if not work.price_jobs.done(held.job):
                return  # Another worker holds the question now; its answer counts.
            order = self._master.again(work, held.loaded)
            self._tell(work, order, command, now, lambda priced: self._approval(work, priced))

        await self._store.write(unit)

    def _approval(self, work: QuotingWork, priced: Order) -> tuple[OrderCommand, Cause] | None:
        rule = self._rule(work, priced)
        if rule is None:
            return None
        return ApproveOrder(rule), _cause(Actor(ActorKind.RULE, rule), ApproveOrder)

    async def _unanswered(self, held: Held, why: str) -> None:
        """The engine was away: the question waits, and after some tries a seller is asked."""
        job = held.job
        if job.attempts >= ATTEMPTS:
            await self._write_down(held, RecordPricingFailure(job.version, why))
            return
        due = self._clock.now() + PAUSE
        await self._store.write(lambda work: work.price_jobs.put_back(job, due))

    def _tell(
        self,
        work: QuotingWork,
        loaded: Loaded,
        command: OrderCommand,
        now: datetime,
        then: Then | None = None,
    ) -> Handled:
        cause = _cause(Actor(ActorKind.ENGINE, KERNEL_VERSION), type(command))
        return self._master.apply_to(work, loaded, command, cause, now, then)


def _cause(actor: Actor, command: type) -> Cause:
    return Cause(actor, command.__name__, "quoting", "")


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
