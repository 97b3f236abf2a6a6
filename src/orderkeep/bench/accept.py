"""``orderkeep bench accept``: how many orders a second are kept, beside what the machine can do.

Everything is measured in one run, in interleaved rounds, and the medians are compared: a shared
machine changes from minute to minute, a ratio taken inside the same minute does not.
"""

import asyncio
import gc
import hashlib
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import uvloop
from sqlalchemy import insert

from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.door import open_door
from orderkeep.bench.load import Sample, closed_loop, middle
from orderkeep.bench.peers import fdatasync, orm_of
from orderkeep.bench.places import Place, migrated, opened, sqlite
from orderkeep.bench.server import ServerDied
from orderkeep.intake.ports import Submission
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.collecting import collect_rarely
from orderkeep.kernel.ids import FileId, Ids, PartnerId
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.order import Position
from orderkeep.orders.policy import Policy

if TYPE_CHECKING:
    from orderkeep.bench.postgres import PgBench

CLIENTS = (1, 16, 64, 256)
COMPARED_AT = 64
WARM_CLIENTS, WARM_S = 16, 0.5
"""Nothing is measured before everything has run once."""

PGBENCH, PREPARED = "pgbench", "pgbench, prepared"
TARGETS = {
    "sqlite": {
        ("store", "disk"): 2.5,
        ("store", "orm"): 20.0,
        ("http", "disk"): 0.7,
        ("http, all roles", "disk"): 0.7,
    },
    "postgresql": {
        ("store", PGBENCH): 1.3,
        ("store", PREPARED): 1.3,
        ("store", "orm"): 20.0,
        ("http", PGBENCH): 0.5,
        ("http", PREPARED): 0.5,
        ("http, all roles", PGBENCH): 0.5,
    },
}
"""What a way in must reach at 64 clients, as a multiple of another figure of the run."""

BODY_BYTES = 1100
PARTNER = PartnerId("bench")

Load: TypeAlias = Callable[[int, float], Awaitable[Sample]]
"""Lets so many clients repeat a request for so many seconds."""
WayIn: TypeAlias = Callable[[Place], AbstractAsyncContextManager[Load]]
"""Opens a way in on a database of its own."""


class Line(msgspec.Struct, frozen=True):
    """One way in at one number of clients."""

    path: str
    clients: int
    sample: Sample


class Ratio(msgspec.Struct, frozen=True):
    """A promise in figures."""

    name: str
    value: float
    target: float
    met: bool


class Limit(msgspec.Struct, frozen=True):
    """What the same machine does with something simpler, in turns with ours."""

    name: str
    how: str
    sample: Sample


class AcceptReport(msgspec.Struct, frozen=True):
    """What ``bench accept`` prints; ``disk`` is fdatasync of 4 KiB by one thread."""

    database: str
    disk: Sample
    limits: list[Limit]
    lines: list[Line]
    ratios: list[Ratio]
    left_out: dict[str, str] = {}
    """Ways in that did not open, and why."""


def accept(
    *,
    seconds: float = 1.0,
    rounds: int = 3,
    clients: Sequence[int] = CLIENTS,
    folder: Path | None = None,
    ways: dict[str, WayIn] | None = None,
    database: str = "sqlite",
) -> AcceptReport:
    """Measure the disk, and beside it every way in: all of ``WAYS`` unless some are named.

    PostgreSQL is a temporary server of the benchmark's own, with the settings it comes with, and
    ``pgbench -N`` takes turns with us on it.

    Args:
        seconds: how long one round of one path lasts.
        rounds: how often everything is repeated; the medians are reported.
        clients: numbers of closed-loop clients.
        folder: on the disk to be measured; a temporary one by default.
        ways: what to measure, by name.
        database: ``sqlite`` or ``postgresql``.

    Raises:
        FileNotFoundError: PostgreSQL's programs are missing; says what to install.
    """
    ways = ways or WAYS
    # The loop that serves people, so that the figures mean what they will meet.
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place,
        _ground(database, Path(place), folder) as ground,
        loop,
    ):
        return loop.run(_measure(ground, ways, seconds, rounds, clients))


@dataclass(frozen=True, slots=True)
class Ground:
    """What is measured on: a database for each way in, and what the machine does at best."""

    database: str
    folder: Path
    place: Callable[[Path], Place]
    limits: "Mapping[str, PgBench]"


@contextmanager
def _ground(database: str, folder: Path, below: Path | None) -> Iterator[Ground]:
    if database == "sqlite":
        yield Ground(database, folder, lambda own: sqlite(own / "orderkeep.db"), {})
        return
    from orderkeep.bench.postgres import PgBench, TemporaryPostgres  # Who runs SQLite needs none.

    with TemporaryPostgres({"max_connections": "200"}, below) as server:
        limits = {
            PGBENCH: PgBench(server, COMPARED_AT, "simple"),
            PREPARED: PgBench(server, COMPARED_AT, "prepared"),
        }
        yield Ground(database, folder, lambda own: Place(server.database(), own), limits)


async def _measure(
    ground: Ground, ways: dict[str, WayIn], seconds: float, rounds: int, clients: Sequence[int]
) -> AcceptReport:
    disk: list[Sample] = []
    limits: defaultdict[str, list[Sample]] = defaultdict(list)
    samples: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    left_out: dict[str, str] = {}
    loads: dict[str, Load] = {}
    async with AsyncExitStack() as stack:
        for name, way in ways.items():
            try:
                loads[name] = await _open(stack, way, ground, name)
            except ServerDied as died:
                left_out[name] = str(died)
        for load in loads.values():
            await load(WARM_CLIENTS, WARM_S)
        stack.enter_context(_as_a_server())
        for _ in range(rounds):
            disk.append(fdatasync(ground.folder, seconds))
            for limit, pgbench in ground.limits.items():
                limits[limit].append(await asyncio.to_thread(pgbench.measure, seconds))
            for number in clients:
                for name, load in loads.items():
                    samples[name, number].append(await load(number, seconds))
    lines = [Line(name, number, middle(taken)) for (name, number), taken in samples.items()]
    beside = [Limit(at, ground.limits[at].how, middle(taken)) for at, taken in limits.items()]
    ratios = _ratios(middle(disk), lines, beside, TARGETS[ground.database])
    return AcceptReport(ground.database, middle(disk), beside, lines, ratios, left_out)


@contextmanager
def _as_a_server() -> Iterator[None]:
    """Collect as a server does once it has started, for us and for whom we are compared with."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _open(stack: AsyncExitStack, way: WayIn, ground: Ground, name: str) -> Load:
    folder = ground.folder / name
    folder.mkdir()  # before anything is measured
    return await stack.enter_async_context(way(ground.place(folder)))


@asynccontextmanager
async def our_store(place: Place) -> AsyncIterator[Load]:
    """The store's accept lane, without HTTP."""
    await migrated(place)
    async with opened(place) as store:
        await store.write(add_partner)
        lane = store.accepting(Policy())
        fresh = Submissions()
        yield partial(closed_loop, lambda: lane.accept(fresh.next()))


@asynccontextmanager
async def orm_peer(place: Place) -> AsyncIterator[Load]:
    """One ORM transaction per request on the same tables."""
    await migrated(place)
    async with opened(place) as store:
        await store.write(add_partner)
        await store.write(lambda work: work.counters.add("orders", 0))
    async with orm_of(place) as peer:
        fresh = Submissions()
        yield partial(closed_loop, lambda: peer.accept(fresh.next()))


@asynccontextmanager
async def door_alone(place: Place) -> AsyncIterator[Load]:
    """HTTP to a server process that does nothing but accept."""
    async with open_door(place, ("door",)) as door:
        yield door.load


@asynccontextmanager
async def every_role(place: Place) -> AsyncIterator[Load]:
    """HTTP to the one process that also prices, moves and shows what it accepts."""
    async with open_door(place) as door:
        yield door.load


WAYS: dict[str, WayIn] = {
    "store": our_store,
    "orm": orm_peer,
    "http": door_alone,
    "http, all roles": every_role,
}


def add_partner(work: SqlWork) -> None:
    """The partner whose orders are measured."""
    now = SystemClock().now()
    partner = {"id": PARTNER, "name": PARTNER, "created_at": now}
    work.connection.execute(insert(tables.partners), partner)


class Submissions:
    """An endless row of submissions, no two alike, cheap to make."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._now = SystemClock().now()
        self._prefix = Ids().envelope_id(self._now)[:24]
        self._body = b'{"note":"%b"}' % (b"x" * (BODY_BYTES - 11))
        self._sha256 = hashlib.sha256(self._body).hexdigest()
        self._cause = Cause(Actor(ActorKind.PARTNER, PARTNER), "accept", "door", "0" * 32)
        self._positions = [
            Position(
                1,
                2,
                material="au585_yellow",
                file_id=FileId("f" * 26),
                file_sha256=self._sha256,
                file_name="ring.stl",
            )
        ]

    def next(self) -> Submission:
        """The next one."""
        number = f"{next(self._numbers):032d}"
        return Submission(
            partner_id=PARTNER,
            client_ref=number,
            key=number,
            body=self._body,
            body_sha256=self._sha256,
            event=self._event(number),
            cause=self._cause,
            envelope_id=f"{self._prefix}{number[-12:]}",
            at=self._now,
        )

    def _event(self, client_ref: str) -> OrderSubmitted:
        return OrderSubmitted(
            channel="api",
            positions=self._positions,
            body_sha256=self._sha256,
            promise_at=self._now + timedelta(days=21),
            partner_id=PARTNER,
            client_ref=client_ref,
        )


def _ratios(
    disk: Sample,
    lines: Sequence[Line],
    limits: Sequence[Limit] = (),
    targets: Mapping[tuple[str, str], float] = TARGETS["sqlite"],
) -> list[Ratio]:
    rates = {line.path: line.sample.per_s for line in lines if line.clients == COMPARED_AT}
    rates |= {"disk": disk.per_s} | {limit.name: limit.sample.per_s for limit in limits}
    return [
        _ratio(f"{path} / {limit} at {COMPARED_AT}", rates[path] / rates[limit], target)
        for (path, limit), target in targets.items()
        if path in rates and limit in rates
    ]


def _ratio(name: str, value: float, target: float) -> Ratio:
    return Ratio(name, round(value, 2), target, value >= target)
