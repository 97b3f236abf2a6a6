"""What operators who browse the board cost the orders that come in meanwhile.

One server with all roles; clients who leave orders and operators who look, each in processes of
their own. Short rounds with and without operators take turns, each pair begun by the other of
the two, and the median of the pairs' ratios is told: what the machine does meanwhile meets both.
"""

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median, quantiles

import msgspec
import uvloop

from orderkeep.access.people import Person
from orderkeep.access.rights import Role
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.crowd import fill
from orderkeep.bench.door import Door, open_door
from orderkeep.bench.load import Sample, middle
from orderkeep.bench.operators import Seen, Watching
from orderkeep.bench.places import sqlite
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PersonId

OPERATORS = 256
THINK_S = 4.0
COUNTS_S = 30.0
CLIENTS = 64
MODERATE_PER_S = 500.0
ROUNDS = 10
ROUND_S = 2.0
CALM_S = 0.5
"""After boards were opened, which costs more than having them open."""

IDLE_S = 8.0
MAY_LOSE = 0.05


class Side(msgspec.Struct, frozen=True):
    """Orders coming in, with operators or without."""

    alone: Sample
    watched: Sample


class Browsing(msgspec.Struct, frozen=True):
    """What ``bench board`` says of browsing."""

    rows: int
    operators: int
    think_s: float
    """Between two lists of one operator; each also holds a stream and counts now and then."""
    counts_every_s: float
    at_a_fixed_rate: Side
    at_full_load: Side
    seen: Seen
    """By the operators, in the last round."""
    cpu_share: float
    """Of one processor, that operators cost while no order comes in."""
    lost: float
    """The share of accepted orders a second that browsing costs at full load: median of pairs."""
    lost_spread: tuple[float, float]
    """Between these the middle half of the pairs lies: ``lost`` is no surer than that."""
    cpu_more: float
    """CPU of the server at the fixed rate, with operators less without: of one processor."""
    target: float
    met: bool


def browsing(
    rows: int, folder: Path | None = None, *, rounds: int = ROUNDS, operators: int = OPERATORS
) -> Browsing:
    """Measure accepting with and without operators, on a database of so many orders."""
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place, loop:
        database = Path(place) / "orderkeep.db"
        migrate(f"sqlite:///{database}")
        fill(database, rows, SystemClock().now())
        return loop.run(_measure(database, rows, rounds, operators))


async def _measure(database: Path, rows: int, rounds: int, operators: int) -> Browsing:
    tokens = await sign_in(database, operators)
    async with open_door(sqlite(database)) as door:
        share = await _share(door, tokens)
        await door.load(CLIENTS, 1.0)
        alone, watched, seen = await _rounds(door, tokens, rounds)
    lost, spread, more = _compared(alone, watched)
    return Browsing(
        rows=rows,
        operators=operators,
        think_s=THINK_S,
        counts_every_s=COUNTS_S,
        at_a_fixed_rate=Side(middle([one[0] for one in alone]), middle([w[0] for w in watched])),
        at_full_load=Side(middle([one[1] for one in alone]), middle([w[1] for w in watched])),
        seen=seen,
        cpu_share=share,
        lost=lost,
        lost_spread=spread,
        cpu_more=more,
        target=MAY_LOSE,
        met=lost <= MAY_LOSE,
    )


_Round = tuple[Sample, Sample]


async def _rounds(
    door: Door, tokens: Sequence[str], rounds: int
) -> tuple[list[_Round], list[_Round], Seen]:
    alone: list[_Round] = []
    watched: list[_Round] = []
    seen: list[Seen] = []
    port = door.server.ports["office"]
    for number in range(rounds):
        # In turns who goes first: a database that grows favours neither.
        for with_operators in (number % 2 == 1, number % 2 == 0):
            if with_operators:
                async with watching(port, tokens, number, seen):
                    watched.append(await _round(door))
            else:
                alone.append(await _round(door))
    return alone, watched, seen[-1]


async def _share(door: Door, tokens: Sequence[str]) -> float:
    """Of one processor, before any order has come: operators, less what the server does anyway."""
    without = await _idle(door)
    async with watching(door.server.ports["office"], tokens, 0, []):
        return round(await _idle(door) - without, 3)


async def _round(door: Door) -> _Round:
    await asyncio.sleep(CALM_S)
    moderate = await door.load(CLIENTS, ROUND_S, MODERATE_PER_S)
    return moderate, await door.load(CLIENTS, ROUND_S)


async def _idle(door: Door) -> float:
    await asyncio.sleep(CALM_S)
    before = door.server.cpu_s()
    await asyncio.sleep(IDLE_S)
    return (door.server.cpu_s() - before) / IDLE_S


def _compared(
    alone: Sequence[_Round], watched: Sequence[_Round]
) -> tuple[float, tuple[float, float], float]:
    """What browsing costs, pair by pair: the share lost, its middle half, and the CPU more."""
    pairs = list(zip(alone, watched, strict=True))
    lost = [_lost(before[1], during[1]) for before, during in pairs]
    more = [_cpu(during[0]) - _cpu(before[0]) for before, during in pairs]
    return round(median(lost), 3), _middle_half(lost), round(median(more), 3)


def _lost(alone: Sample, watched: Sample) -> float:
    return 1 - watched.per_s / alone.per_s


def _cpu(taken: Sample) -> float:
    """CPU a second at the rate it was measured at."""
    return (taken.cpu_us or 0.0) * taken.per_s / 1e6


def _middle_half(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return round(values[0], 3), round(values[0], 3)
    low, _, high = quantiles(values, n=4, method="inclusive")
    return round(low, 3), round(high, 3)


@asynccontextmanager
async def watching(
    port: int, tokens: Sequence[str], seed: int, seen: list[Seen]
) -> AsyncIterator[None]:
    """Operators at their boards; what they saw is added when they leave."""
    module = (sys.executable, "-m", "orderkeep.bench.operators")
    process = await asyncio.create_subprocess_exec(*module, stdin=PIPE, stdout=PIPE)
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the operators cannot be heard")
        wanted = Watching(port, list(tokens), THINK_S, COUNTS_S, seed)
        process.stdin.write(msgspec.json.encode(wanted) + b"\n")
        if await process.stdout.readline() != b"open\n":
            raise RuntimeError("the operators could not open their boards")
        yield
    finally:
        told, _ = await process.communicate(b"")  # the end of its input sends them home
    seen.append(msgspec.json.decode(told, type=Seen))


async def sign_in(database: Path, operators: int) -> list[str]:
    """Add so many operators, each with an open session; returns the sessions' tokens."""
    ids, now = Ids(), SystemClock().now()
    tokens = [ids.token(43) for _ in range(operators)]

    def unit(work: SqlWork) -> None:
        for number, token in enumerate(tokens):
            login = f"op{number}"
            id_ = PersonId(ids.token(16))
            # No password fits this: sessions are opened here, not at the sign-in page.
            work.access.add_person(Person(id_, login, login, Role.OPERATOR, "en", now), "-")
            hashed = sha256(token.encode()).hexdigest()
            work.access.open_session(hashed, id_, now, now + timedelta(hours=12))

    async with open_store(f"sqlite:///{database}", Bells()) as store:
        await store.write(unit)
    return tokens
