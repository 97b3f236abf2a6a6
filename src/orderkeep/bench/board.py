"""``orderkeep bench board``: what a list costs with few and with many orders behind it."""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter

import msgspec
import uvloop

from orderkeep.adapters.sql.instants import to_micros
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.crowd import OPERATOR, fill
from orderkeep.bench.load import Sample, sample
from orderkeep.board.filters import Cursor, Filter, PageQuery, Sort
from orderkeep.board.ports import Page
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import Stage

ROWS = (100_000, 1_000_000)
OPERATORS = (16, 256)
FLAT = 1.3
"""How much slower the first page may be with the most orders than with the fewest."""

_ROUNDS = 10
_REPEATS = 30
_DEEP_PAGES = 40
_CLAIMS = 400

Read = Callable[[SqlWork], object]

FILTERS: dict[str, Filter] = {
    "all open": Filter(),
    "one stage": Filter(stages=(Stage.MANUFACTURING_APPROVED,)),
    "two stages": Filter(stages=(Stage.SUBMITTED, Stage.PRICE_CALCULATED)),
    "to take": Filter(free=True),
    "mine": Filter(operator=OPERATOR),
    "late": Filter(risks=("late",)),
    "held": Filter(held=True),
    "needs a person": Filter(needs=("price",)),
    "closed, newest first": Filter(stages=(Stage.CLOSED,)),
    "newest changes": Filter(sort=Sort.CHANGED),
}


class Timed(msgspec.Struct, frozen=True):
    """What one kind of read costs in the database and up to the finished rows."""

    what: str
    sample: Sample


class Race(msgspec.Struct, frozen=True):
    """Operators who take the next order at the same time."""

    operators: int
    sample: Sample
    doubles: int


class Size(msgspec.Struct, frozen=True):
    """Everything measured at one number of orders."""

    rows: int
    fill_s: float
    file_bytes: int
    reads: list[Timed]
    races: list[Race]


class Flat(msgspec.Struct, frozen=True):
    """How a read grows with the orders behind it: most rows over fewest."""

    what: str
    ratio: float
    target: float | None
    met: bool


class BoardReport(msgspec.Struct, frozen=True):
    """What ``bench board`` prints."""

    sizes: list[Size]
    flat: list[Flat]
    no_double_claims: bool


@dataclass(frozen=True, slots=True)
class _Filled:
    """A database with its number of orders in it."""

    path: Path
    rows: int
    fill_s: float
    file_bytes: int


def board(*, rows: Sequence[int] = ROWS, folder: Path | None = None) -> BoardReport:
    """Measure lists, counts, one order's page and claims at each number of orders.

    The numbers take turns at every read, so that a slow minute of the machine hits all of them.
    """
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place, runner:
        filled = [_filled(Path(place), number) for number in sorted(rows)]
        sizes = runner.run(_measured(filled))
    return BoardReport(
        sizes=sizes,
        flat=_flat(sizes[0], sizes[-1]),
        no_double_claims=all(race.doubles == 0 for size in sizes for race in size.races),
    )


def _filled(place: Path, rows: int) -> _Filled:
    path = place / f"{rows}.db"
    migrate(f"sqlite:///{path}")
    started = perf_counter()
    fill(path, rows, SystemClock().now())
    took = perf_counter() - started
    print(f"{rows:,} orders written in {took:.0f} s", file=sys.stderr, flush=True)
    return _Filled(path, rows, round(took, 1), path.stat().st_size)


async def _measured(filled: Sequence[_Filled]) -> list[Size]:
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                open_store(f"sqlite:///{one.path}", Bells(), serve=True)
            )
            for one in filled
        ]
        wanted = [await _reads(store, one.rows) for store, one in zip(stores, filled, strict=True)]
        reads = await _in_turns(stores, wanted)
        races = [[await _race(store, number) for number in OPERATORS] for store in stores]
    return [
        Size(one.rows, one.fill_s, one.file_bytes, timed, raced)
        for one, timed, raced in zip(filled, reads, races, strict=True)
    ]


async def _in_turns(
    stores: Sequence[SqliteStore], wanted: Sequence[dict[str, Read]]
) -> list[list[Timed]]:
    """Each store's reads; for each read every store has its turn, round after round."""
    timed: list[list[Timed]] = [[] for _ in stores]
    for what in wanted[0]:
        took: list[list[float]] = [[] for _ in stores]
        for _ in range(_ROUNDS):
            for store, reads, times in zip(stores, wanted, took, strict=True):
                times.extend(await _times(store, reads[what]))
        for found, times in zip(timed, took, strict=True):
            found.append(Timed(what, sample(times, sum(times))))
    return timed


async def _reads(store: SqliteStore, rows: int) -> dict[str, Read]:
    chosen = Random(rows)
    deep = PageQuery(Filter(), after=await _deep_cursor(store))

    def one_order(work: SqlWork) -> object:
        no = order_no(chosen.randint(1, rows))
        return work.board.row(no), work.orders.history(no)

    pages = {f"first page: {name}": _page(wanted) for name, wanted in FILTERS.items()}
    return {
        **pages,
        "counts": lambda work: work.board.counts(OPERATOR),
        "one order and its history": one_order,
        "a page far down": lambda work: work.board.page(deep),
    }


def _page(wanted: Filter) -> Callable[[SqlWork], Page]:
    query = PageQuery(wanted)
    return lambda work: work.board.page(query)


async def _times(store: SqliteStore, read: Read) -> list[float]:
    took: list[float] = []
    for _ in range(_REPEATS):
        before = perf_counter()
        await store.read(read)
        took.append(perf_counter() - before)
    return took


async def _deep_cursor(store: SqliteStore) -> Cursor | None:
    after: Cursor | None = None
    for _ in range(_DEEP_PAGES):
        page = await store.read(_page_after(after))
        after = page.next or after
    return after


def _page_after(after: Cursor | None) -> Callable[[SqlWork], Page]:
    query = PageQuery(Filter(), after=after)
    return lambda work: work.board.page(query)


async def _race(store: SqliteStore, operators: int) -> Race:
    lane = store.claiming()
    now = SystemClock().now()
    until = now + timedelta(hours=4)
    taken: list[OrderNo] = []
    took: list[float] = []

    async def operator(name: str) -> None:
        cause = Cause(Actor(ActorKind.PERSON, name, "operator"), "claim", "office", "0" * 32)
        while len(taken) < _CLAIMS:
            before = perf_counter()
            no = await lane.claim_next(name, now, until, cause)
            took.append(perf_counter() - before)
            if no is None:
                return
            taken.append(no)

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for i in range(operators):
            group.create_task(operator(f"op{i}"))
    elapsed = perf_counter() - started
    return Race(operators, sample(took, elapsed), _doubles(taken, await _claims(store, now)))


async def _claims(store: SqliteStore, now: datetime) -> int:
    """How many claims the events hold that were made at this instant."""
    query = "SELECT count(DISTINCT order_n) FROM events WHERE kind = 'order.claimed' AND at = ?"
    return await store.read_long(
        lambda work: int(work.raw.execute(query, (to_micros(now),)).fetchone()[0])
    )


def _doubles(taken: Sequence[OrderNo], in_events: int) -> int:
    told_twice = sum(count - 1 for count in Counter(taken).values())
    return told_twice + abs(len(set(taken)) - in_events)


def _flat(fewest: Size, most: Size) -> list[Flat]:
    before = {timed.what: timed.sample.p50_ms for timed in fewest.reads}
    return [
        _grown(timed.what, timed.sample.p50_ms / max(before[timed.what], 0.001))
        for timed in most.reads
    ]


def _grown(what: str, ratio: float) -> Flat:
    target = FLAT if what.startswith("first page") else None
    return Flat(what, round(ratio, 2), target, target is None or ratio <= target)
