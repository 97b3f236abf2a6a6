"""``orderkeep bench accept``: how many orders a second are kept, beside what the disk can do.

Everything is measured in one run, in interleaved rounds, and the medians are compared: a shared
machine changes from minute to minute, a ratio taken inside the same minute does not.
"""

import asyncio
import gc
import hashlib
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvloop
from sqlalchemy import insert

from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.door import open_door
from orderkeep.bench.load import Sample, closed_loop, middle
from orderkeep.bench.peers import OrmPeer, fdatasync
from orderkeep.intake.ports import Submission
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import FileId, Ids, PartnerId
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.order import Position
from orderkeep.orders.policy import Policy

CLIENTS = (1, 16, 64, 256)
COMPARED_AT = 64
WARM_CLIENTS, WARM_S = 16, 0.5
"""Nothing is measured before everything has run once."""

TARGETS = {
    ("store", "disk"): 2.5,
    ("store", "orm"): 20.0,
    ("http", "disk"): 0.7,
    ("http, all roles", "disk"): 0.7,
}
"""What a way in must reach at 64 clients, as a multiple of another figure of the run."""

BODY_BYTES = 1100
PARTNER = PartnerId("bench")

Load: TypeAlias = Callable[[int, float], Awaitable[Sample]]
"""Lets so many clients repeat a request for so many seconds."""
WayIn: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Load]]
"""Opens a way in on a folder of its own."""


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


class AcceptReport(msgspec.Struct, frozen=True):
    """What ``bench accept`` prints; ``disk`` is fdatasync of 4 KiB by one thread."""

    disk: Sample
    lines: list[Line]
    ratios: list[Ratio]


def accept(
    *,
    seconds: float = 1.0,
    rounds: int = 3,
    clients: Sequence[int] = CLIENTS,
    folder: Path | None = None,
    ways: dict[str, WayIn] | None = None,
) -> AcceptReport:
    """Measure the disk, and beside it every way in: all of ``WAYS`` unless some are named.

    Args:
        seconds: how long one round of one path lasts.
        rounds: how often everything is repeated; the medians are reported.
        clients: numbers of closed-loop clients.
        folder: on the disk to be measured; a temporary one by default.
        ways: what to measure, by name.
    """
    ways = ways or WAYS
    # The loop that serves people, so that the figures mean what they will meet.
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place, loop:
        return loop.run(_measure(Path(place), ways, seconds, rounds, clients))


async def _measure(
    place: Path, ways: dict[str, WayIn], seconds: float, rounds: int, clients: Sequence[int]
) -> AcceptReport:
    disk: list[Sample] = []
    samples: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        loads = {name: await _open(stack, way, place / name) for name, way in ways.items()}
        for load in loads.values():
            await load(WARM_CLIENTS, WARM_S)
        gc.freeze()  # as a server does once it has started
        for _ in range(rounds):
            disk.append(fdatasync(place, seconds))
            for number in clients:
                for name, load in loads.items():
                    samples[name, number].append(await load(number, seconds))
    lines = [Line(name, number, middle(taken)) for (name, number), taken in samples.items()]
    return AcceptReport(middle(disk), lines, _ratios(middle(disk), lines))


async def _open(stack: AsyncExitStack, way: WayIn, folder: Path) -> Load:
    folder.mkdir()  # noqa: ASYNC240  # before anything is measured
    return await stack.enter_async_context(way(folder))


@asynccontextmanager
async def our_store(folder: Path) -> AsyncIterator[Load]:
    """The store's accept lane, without HTTP."""
    url = f"sqlite:///{folder / 'orderkeep.db'}"
    migrate(url)
    async with open_store(url, Bells(), serve=True) as store:
        await store.write(add_partner)
        lane = store.accepting(Policy())
        fresh = Submissions()
        yield partial(closed_loop, lambda: lane.accept(fresh.next()))


@asynccontextmanager
async def orm_peer(folder: Path) -> AsyncIterator[Load]:
    """One ORM transaction per request on the same tables."""
    path = folder / "orm.db"
    url = f"sqlite:///{path}"
    migrate(url)
    async with open_store(url, Bells()) as store:
        await store.write(add_partner)
        await store.write(lambda work: work.counters.add("orders", 0))
    peer = OrmPeer(path)
    fresh = Submissions()
    yield partial(closed_loop, lambda: peer.accept(fresh.next()))
    peer.close()


@asynccontextmanager
async def door_alone(folder: Path) -> AsyncIterator[Load]:
    """HTTP to a server process that does nothing but accept."""
    async with open_door(folder / "orderkeep.db", ("door",)) as door:
        yield door.load


@asynccontextmanager
async def every_role(folder: Path) -> AsyncIterator[Load]:
    """HTTP to the one process that also prices, moves and shows what it accepts."""
    async with open_door(folder / "orderkeep.db") as door:
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


def _ratios(disk: Sample, lines: Sequence[Line]) -> list[Ratio]:
    rates = {line.path: line.sample.per_s for line in lines if line.clients == COMPARED_AT}
    rates["disk"] = disk.per_s
    return [
        _ratio(f"{path} / {limit} at {COMPARED_AT}", rates[path] / rates[limit], target)
        for (path, limit), target in TARGETS.items()
        if path in rates and limit in rates
    ]


def _ratio(name: str, value: float, target: float) -> Ratio:
    return Ratio(name, round(value, 2), target, value >= target)
