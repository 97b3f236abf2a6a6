"""The price desk: one slow question holds up nobody, and a busy store no question for long."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.files.ports import StoredFile
from orderkeep.files.upload import STORED
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy
from orderkeep.kernel.ids import FileId, OrderNo
from orderkeep.orders.order import Order, PriceState
from orderkeep.quoting.desk import AT_ONCE, PAUSE, PriceDesk, QuestionLost
from orderkeep.quoting.holding import LEASE, held
from orderkeep.quoting.measurement import Outcome
from orderkeep.quoting.ports import ModelFile
from orderkeep.testing.people import PARTNER, SENDER
from orderkeep.testing.process import BOOK, MATERIAL, NOON, SKUS, SimFiles, hash_of, outcome_of
from orderkeep.testing.town import Town

QUICK = {"quantity": 1, "sku": SKUS[0]}
MODELS = [f"model-{at}" for at in range(50)]


class SlowEngine:
    """Measures a file for each permit."""

    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(0)
        self.asked: list[str] = []

    async def measure(self, file: ModelFile, deadline: timedelta) -> Outcome:
        self.asked.append(str(file.source))
        await self.permits.acquire()
        return outcome_of(str(file.source))


class Counter:
    """A town whose files are slow, and the places of its price desk."""

    def __init__(self) -> None:
        self.town = Town()
        self.engine = SlowEngine()
        self.desk = PriceDesk(
            self.town.store,
            self.town.process.master,
            self.engine,
            SimFiles(),  # type: ignore[arg-type]  # What the desk uses of a keeper.
            BOOK,
            _nobody,
            self.town.clock,
        )
        self.town.store.write_now(_shelve)

    async def ask(self, *items: dict[str, Any]) -> OrderNo:
        """An order whose price is wanted."""
        ref = f"ref-{len(self.numbers())}"
        body = {"client_ref": ref, "items": items, "customer": {"name": "Anna"}}
        taken = await self.town.process.intake.accept(SENDER, ref, msgspec.json.encode(body))
        for name in ("relay", "inbox quoting"):
            await self.town.process.steps[name]()
        return taken.order_no

    def numbers(self) -> Sequence[Any]:
        return self.town.store.raw.execute("SELECT n FROM orders").fetchall()

    def is_answered(self, no: OrderNo) -> bool:
        """Whether it has its price, or its reasons why a seller has to give it one."""
        return self.town.see(no).price.state in {PriceState.READY, PriceState.MANUAL}

    @asynccontextmanager
    async def working(self, places: int = AT_ONCE) -> AsyncIterator[None]:
        """The loops of the role, without their pauses."""
        loops = [asyncio.create_task(self._work()) for _ in range(places)]
        try:
            yield
        finally:
            for one in loops:
                one.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            with suppress(StoreBusy, CommitOutcomeUnknown):
                await self.desk.step()
            await asyncio.sleep(0)


def _shelve(work: SqlWork) -> None:
    for name in MODELS:
        sha256 = hash_of(name.encode())
        work.files.add(
            StoredFile(FileId(name), PARTNER, "key-1", sha256, 40, "ring.stl", STORED, NOON)
        )


def _nobody(_work: Any, _order: Order) -> None:
    return None


def model(at: int) -> dict[str, Any]:
    return {"quantity": 1, "material": MATERIAL, "file_id": MODELS[at]}


async def moments(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_slow_order_holds_up_nobody_behind_it() -> None:
    """A step waited for its whole batch: fifty slow files kept three places empty."""
    counter = Counter()
    slow = await counter.ask(*(model(at) for at in range(50)))
    async with counter.working():
        await moments()
        later = [await counter.ask(QUICK) for _ in range(2 * AT_ONCE)]

        await moments(500)
        assert all(counter.is_answered(no) for no in later)
        assert not counter.is_answered(slow)
        for _ in range(50):
            counter.engine.permits.release()
        await moments(5000)
        assert counter.is_answered(slow)


async def test_no_more_than_a_few_are_measured_at_once() -> None:
    counter = Counter()
    for at in range(AT_ONCE + 3):
        await counter.ask(model(at))

    async with counter.working():
        await moments()

    assert len(counter.engine.asked) == AT_ONCE


async def test_an_answer_that_the_store_did_not_take_is_given_soon() -> None:
    """The question stood still until its lease of five minutes ended."""
    counter = Counter()
    no = await counter.ask(QUICK)
    counter.town.store.busy_writes = iter([False, True])

    with suppress(StoreBusy):
        await counter.desk.step()
    assert not counter.is_answered(no)
    await counter.desk.step()
    counter.town.clock.true += PAUSE
    await counter.desk.step()

    assert counter.is_answered(no)


async def test_a_busy_store_costs_a_question_no_attempt() -> None:
    """A disk that was full three times would have sent every question to a seller."""
    counter = Counter()
    no = await counter.ask(QUICK)
    for _ in range(10):
        counter.town.store.busy_writes = iter([False, True])
        with suppress(StoreBusy):
            await counter.desk.step()
        counter.town.clock.true += PAUSE
    [(attempts,)] = counter.town.store.raw.execute("SELECT attempts FROM price_jobs").fetchall()

    assert attempts <= 1
    assert counter.town.see(no).price.state is PriceState.RUNNING


async def test_a_question_taken_without_anybody_knowing_is_free_soon() -> None:
    """The disk failed while the question was taken: it was held, and nobody knew it."""
    counter = Counter()
    no = await counter.ask(QUICK)
    counter.town.store.held = True
    taking = asyncio.create_task(counter.desk.step())
    await moments()
    counter.town.store.fail(CommitOutcomeUnknown("the disk failed"), kept=True)
    with suppress(CommitOutcomeUnknown):
        await taking
    counter.town.store.held = False

    counter.town.clock.true += PAUSE
    await counter.desk.step()

    assert counter.is_answered(no)


async def test_a_question_is_held_for_as_long_as_its_files_take() -> None:
    """Fifty slow files outlast a lease: another place would begin the same order again."""
    counter = Counter()
    no = await counter.ask(model(0), model(1))
    first = asyncio.create_task(counter.desk.step())
    await moments()
    counter.town.clock.true += LEASE * 0.7
    counter.engine.permits.release()
    await moments()
    counter.town.clock.true += LEASE * 0.7

    assert len(counter.engine.asked) == 2
    async with asyncio.timeout(5):
        assert await counter.desk.step() == 0

    counter.engine.permits.release()
    await first
    assert counter.is_answered(no)


async def test_a_question_is_held_for_as_long_as_one_file_takes() -> None:
    renewed = asyncio.Semaphore(0)
    done = asyncio.Event()

    async def renew() -> None:
        renewed.release()
        raise StoreBusy("the disk is full")

    async def measure() -> str:
        await done.wait()
        return "measured"

    answer = asyncio.create_task(held(measure(), renew, timedelta(0)))
    async with asyncio.timeout(5):
        for _ in range(3):  # Through a busy store, too.
            await renewed.acquire()
    done.set()

    assert await answer == "measured"


async def test_whoever_has_lost_its_question_stops_measuring() -> None:
    ended = asyncio.Event()

    async def lost() -> None:
        raise QuestionLost

    async def measure() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with suppress(QuestionLost):
        await held(measure(), lost, timedelta(0))

    assert ended.is_set()


async def test_the_question_of_a_quoter_that_died_is_taken_up_within_a_minute() -> None:
    counter = Counter()
    no = await counter.ask(model(0))
    killed = asyncio.create_task(counter.desk.step())
    await moments()
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)

    counter.town.clock.true += timedelta(minutes=1)
    counter.engine.permits.release()
    await counter.desk.step()

    assert counter.is_answered(no)
