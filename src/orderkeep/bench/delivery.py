"""``orderkeep bench delivery``: from a client to the MES, ours beside what others use for it.

Every pipeline is left the same orders by the same clients on the same machine, in turns. The MES is
one INSERT into a database that belongs to nobody; when a row came there is what counts as made.
"""

import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import uvloop

from orderkeep.bench.accept import add_partner
from orderkeep.bench.comparison import (
    CELERY,
    DBOS,
    EMBEDDED,
    NAIVE,
    PGQUEUER,
    RABBITMQ,
    DeliveryReport,
    Figures,
    Line,
    costs,
    middle,
    promises,
)
from orderkeep.bench.load import percentile
from orderkeep.bench.pipelines.lines import Setup
from orderkeep.bench.pipelines.processes import (
    Clients,
    Half,
    Left,
    PeerMissing,
    Pipeline,
    free_port,
)
from orderkeep.bench.pipelines.shop import MADE, ORDERS
from orderkeep.bench.places import Place, migrated, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderkeep.bench.postgres import TemporaryPostgres
    from orderkeep.bench.rabbitmq import RabbitNode

CLIENTS = 64
ORDERS_LEFT = 2000
LONGEST_S = 10.0
"""How long clients leave orders at a pipeline that takes fewer."""
PER_S, PACED_S = 200.0, 5.0
WARM = 64
UP_S = 60.0
QUIET_S = 8.0
"""Nothing more comes to the MES: what has not come by now is late for every use."""
COME = "SELECT count(*), count(DISTINCT ref) FILTER (WHERE ref = ANY($1)) FROM made"
"""How often something came to the MES, and how many of those that are named have."""


def pipelines(peers: str) -> list[Pipeline]:
    """All that are compared; ``peers`` is a Python that has Celery, DBOS and PgQueuer."""
    both = ("api", "consumer")
    return [
        Pipeline(EMBEDDED, "ours", ("api",), sqlite=True, broker=False, ours=True),
        Pipeline(RABBITMQ, "ours", ("api", "relay", "consumer"), ours=True),
        Pipeline(
            f"{EMBEDDED}, whole product",
            "whole",
            ("api", "mes"),
            sqlite=True,
            broker=False,
            ours=True,
            prepares_itself=True,
        ),
        Pipeline(
            f"{RABBITMQ}, whole product", "whole", ("api", "mes"), ours=True, prepares_itself=True
        ),
        Pipeline(NAIVE, "publishing", both, broken="naive"),
        Pipeline("careful", "publishing", both, broken="careful"),
        Pipeline(CELERY, "celery_peer", both, python=peers),
        Pipeline(DBOS, "dbos_peer", ("api",), python=peers, broker=False),
        Pipeline(PGQUEUER, "pgqueuer_peer", both, python=peers, broker=False, prepared=True),
    ]


def delivery(
    *,
    rounds: int = 3,
    orders: int = ORDERS_LEFT,
    per_s: float = PER_S,
    only: Sequence[str] = (),
    peers: str = sys.executable,
    folder: Path | None = None,
    paced_s: float = PACED_S,
) -> DeliveryReport:
    """Measure every pipeline, or some by name, in turns.

    Raises:
        FileNotFoundError, RuntimeError: PostgreSQL or RabbitMQ is missing; says what to install.
    """
    chosen = [one for one in pipelines(peers) if not only or one.name in only]
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with grounds(chosen, folder) as ground, loop:
        return loop.run(_measure(ground, chosen, rounds, Pace(orders, per_s, paced_s)))


@dataclass(frozen=True, slots=True)
class Pace:
    """How many orders are left at once, and how many a second for how long."""

    orders: int
    per_s: float
    paced_s: float


@dataclass(frozen=True, slots=True)
class Ground:
    """The servers that pipelines are put on."""

    postgres: "TemporaryPostgres"
    broker: "RabbitNode | None"
    folder: Path


@contextmanager
def grounds(chosen: Sequence[Pipeline], folder: Path | None) -> "Iterator[Ground]":
    """A PostgreSQL and, where one is needed, a RabbitMQ of our own; and a folder for SQLite."""
    from orderkeep.bench.postgres import TemporaryPostgres
    from orderkeep.bench.rabbitmq import RabbitNode

    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-delivery-") as place,
        TemporaryPostgres({"max_connections": "200"}, folder) as postgres,
        ExitStack() as stack,
    ):
        broker = RabbitNode(stats_interval=5.0) if any(one.broker for one in chosen) else None
        if broker is not None:
            stack.enter_context(broker)
        yield Ground(postgres, broker, Path(place))


async def _measure(
    ground: Ground, chosen: Sequence[Pipeline], rounds: int, pace: Pace
) -> DeliveryReport:
    taken: defaultdict[str, list[Figures]] = defaultdict(list)
    left_out: dict[str, str] = {}
    for turn in range(1, rounds + 1):
        for one in chosen:
            if one.name in left_out:
                continue
            say(f"round {turn} of {rounds}: {one.name}")
            try:
                figures = await _round(ground, one, pace)
            except PeerMissing as missing:
                left_out[one.name] = str(missing)
            else:
                taken[one.name].append(figures)
    lines = [Line(name, middle(figures)) for name, figures in taken.items()]
    by_name = {line.pipeline: line.figures for line in lines}
    return DeliveryReport(
        CLIENTS, pace.orders, pace.per_s, lines, promises(by_name), costs(by_name), left_out
    )


def say(what: str) -> None:
    """Progress, for whoever waits."""
    print(f"· {what}", file=sys.stderr, flush=True)


# --- one round --------------------------------------------------------------------------------


@dataclass(slots=True)
class Running:
    """A pipeline that runs: its processes, its clients and the far side's table."""

    halves: dict[str, Half]
    clients: Clients
    mes: Any
    setup: Setup
    striking: bool = False
    """Whether a fault still wants orders to come."""
    struck: int = 0
    """Orders that were under way when something was killed, all kills together."""

    async def is_up(self, names: "Iterator[str]") -> None:
        """Return when an order gets through, from one end to the other; it does not count.

        Raises:
            PeerMissing: none does.
        """
        began = perf_counter()
        while perf_counter() - began < UP_S:
            await self.clients.leave(next(names))
            if await self.all_made(UP_S):
                self.clients.left.clear()
                return
            await asyncio.sleep(0.5)
        raise PeerMissing(f"no order was made within {UP_S:.0f} s")

    async def made(self) -> dict[str, float]:
        """When each order first came to the MES."""
        asked = "SELECT ref, extract(epoch FROM min(at))::float8 FROM made GROUP BY ref"
        return dict(await self.mes.fetch(asked))

    async def all_made(self, quiet_s: float = QUIET_S, then_s: float = 0.0) -> dict[str, float]:
        """The same, once all that clients were promised are there or nothing comes more.

        By name: orders that nobody was promised, or that do not count, would stand for others.
        After a fault those are made as well: ``then_s`` is how long nothing more may have come.
        """
        promised = [one.name for one in self.clients.left if one.name is not None]
        seen, since = (0, 0), perf_counter()
        while perf_counter() - since < (quiet_s if seen[1] < len(promised) else then_s):
            await asyncio.sleep(0.05)
            now = tuple(await self.mes.fetchrow(COME, promised))
            if now != seen:
                seen, since = now, perf_counter()
        return await self.made()


@asynccontextmanager
async def running(
    ground: Ground, pipeline: Pipeline, work_ms: float = 0.0, at_once: int = 8
) -> AsyncIterator[Running]:
    """A pipeline on databases of its own.

    Raises:
        PeerMissing: it does not come up.
    """
    async with AsyncExitStack() as stack:
        setup = await _place(ground, pipeline, work_ms, at_once)
        if pipeline.prepared:
            preparing = Half(pipeline, "prepare", setup)
            await preparing.run_once()
        halves = {name: Half(pipeline, name, setup) for name in reversed(pipeline.halves)}
        for half in halves.values():
            stack.push_async_callback(half.stop)
            await half.start()
        mes = await asyncpg.connect(setup.mes)
        stack.push_async_callback(mes.close)
        clients = await stack.enter_async_context(Clients(setup.port))
        yield Running(halves, clients, mes, setup)


async def _place(ground: Ground, pipeline: Pipeline, work_ms: float, at_once: int) -> Setup:
    mes = await asyncio.to_thread(ground.postgres.database)
    await _execute(mes, MADE)
    if pipeline.sqlite:
        folder = Path(tempfile.mkdtemp(dir=ground.folder))
        orders = f"sqlite:///{folder / 'orderkeep.db'}"
    else:
        orders = await asyncio.to_thread(ground.postgres.database)
    if not pipeline.prepares_itself:
        await _tables(pipeline, Place(orders, ground.folder))
    amqp = await _virtual_host(ground.broker) if pipeline.broker and ground.broker else ""
    return Setup(
        port=free_port(),
        orders=orders,
        mes=mes,
        amqp=amqp,
        far_port=free_port(),
        broken=pipeline.broken,
        work_ms=work_ms,
        at_once=at_once,
    )


async def _virtual_host(broker: "RabbitNode") -> str:
    """A broker of its own, as far as a pipeline can see: none finds another's queues."""
    name = f"bench-{free_port()}"
    async with httpx.AsyncClient(base_url=broker.management_url, trust_env=False) as http:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        made = await http.put(f"/api/vhosts/{name}")
        let_in = await http.put(f"/api/permissions/{name}/{broker.user}", json=everything)
    made.raise_for_status()
    let_in.raise_for_status()
    return broker.url + name


async def _tables(pipeline: Pipeline, place: Place) -> None:
    if not pipeline.ours:
        await _execute(place.url, ORDERS)
        return
    await migrated(place)
    async with opened(place) as store:
        await store.write(add_partner)


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def _round(ground: Ground, pipeline: Pipeline, pace: Pace) -> Figures:
    async with running(ground, pipeline) as it:
        names = (f"c{n:07d}" for n in count())
        await it.is_up(names)
        await flat_out(it.clients, names, WARM, LONGEST_S)
        await it.all_made()
        await _everything_written()
        burst_began, before = time(), len(it.clients.left)
        took_s = await flat_out(it.clients, names, pace.orders, LONGEST_S)
        burst = it.clients.left[before:]
        made = await it.all_made()
        delivered = [made[one.name] for one in burst if one.name in made]
        before = len(it.clients.left)
        await _everything_written()
        await paced(it.clients, names, pace.per_s, pace.paced_s)
        calm = it.clients.left[before:]
        made = await it.all_made()
        doubled = await it.mes.fetchval("SELECT count(*) - count(DISTINCT ref) FROM made")
        everything = it.clients.left
        return Figures(
            accepted_per_s=round(sum(one.name is not None for one in burst) / took_s, 1),
            delivered_per_s=round(len(delivered) / (max(delivered) - burst_began), 1),
            **_latencies(calm, made),
            errors=sum(one.name is None for one in everything),
            lost=sum(one.name is not None and one.name not in made for one in everything),
            doubled=doubled,
        )


async def _everything_written() -> None:
    """Have the disk take what others have left to it: it would be written in somebody's turn."""
    await asyncio.to_thread(os.sync)


def _latencies(calm: Sequence[Left], made: dict[str, float]) -> dict[str, float]:
    accepts = sorted(one.took_s for one in calm)
    deliveries = sorted(made[one.name] - one.at for one in calm if one.name in made)
    told = {"accept": accepts, "delivery": deliveries}
    return {
        f"{what}_p{round(share * 100)}_ms": round(percentile(took, share) * 1000, 2)
        for what, took in told.items()
        for share in (0.5, 0.99)
    }


async def flat_out(
    clients: Clients, names: "Iterator[str]", orders: int, longest_s: float
) -> float:
    """All clients at once, each with its next order as soon as the last is answered; seconds."""
    began = perf_counter()
    left = iter(range(orders))

    async def client() -> None:
        for _ in left:
            await clients.leave(next(names))
            if perf_counter() - began > longest_s:
                return

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return perf_counter() - began


async def paced(
    clients: Clients,
    names: "Iterator[str]",
    per_s: float,
    seconds: float,
    more: Callable[[], bool] = lambda: False,
) -> None:
    """So many a second, whoever has been answered or not; longer, while ``more`` are wanted."""
    began = perf_counter()
    under_way: set[asyncio.Task[None]] = set()
    for n in count():
        if n >= round(per_s * seconds) and not more():
            break
        await asyncio.sleep(max(0.0, began + n / per_s - perf_counter()))
        under_way.add(task := asyncio.create_task(clients.leave(next(names))))
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way)
