"""``orderkeep bench faults``: the same faults against a naive, a careful and our own pipeline.

Orders come at a steady pace, a fault strikes, everything is healed, and when nothing more comes to
the MES its table is compared with what each pipeline has in its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg
import msgspec
import uvloop

from orderkeep.bench.comparison import EMBEDDED, NAIVE, RABBITMQ
from orderkeep.bench.delivery import Ground, Running, grounds, paced, pipelines, running, say
from orderkeep.bench.pipelines.processes import Left, Pipeline
from orderkeep.bench.places import Place, opened

CAREFUL = "careful"
COMPARED = (NAIVE, CAREFUL, RABBITMQ, EMBEDDED)
ORDERS_LEFT, PER_S = 2000, 400.0
WORK_MS, AT_ONCE = 25.0, 8
FIRST_AFTER_S = 2.0
QUIET_S = 20.0
"""Longer than any pipeline takes to find a healed broker or a restarted half of itself again."""
CALM_S = 3.0
"""How long nothing more may come once as many are made as were promised."""
STOPPED_S = 3.0
SETTLED, SETTLE_S = 40, 3.0
"""A killed process is killed anew when so many orders in a row were answered as before."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of the orders of one run; ``errors`` is what clients were shown."""

    pipeline: str
    fault: str
    left: int
    errors: int
    kept: int
    """Orders in the pipeline's own table."""
    lost: int
    """Kept, and never at the MES."""
    lost_silently: int
    """Of these, whose client was given a receipt."""
    doubled: int
    """Calls of the MES beyond the first for one order."""
    under_way: int = 0
    """Orders left and not answered when a process was killed, all kills together."""


class FaultReport(msgspec.Struct, frozen=True):
    """What ``bench faults`` prints."""

    orders: int
    per_s: float
    work_ms: float
    at_once: int
    outcomes: list[Outcome]
    kept_promise: bool
    """Whether ours lost nothing and doubled nothing."""


@dataclass(frozen=True, slots=True)
class Coming:
    """How many orders come, how many a second, and when the fault strikes."""

    orders: int
    per_s: float
    first_after_s: float


Fault = Callable[[Ground, Running], Awaitable[None]]


async def nothing(_: Ground, __: Running) -> None:
    """Peace."""


async def kill_consumer(_: Ground, it: Running) -> None:
    """Kill -9 of whoever calls the MES, three times; started again at once."""
    await _kill(it, next(name for name in ("consumer", "api") if name in it.halves), 3)


async def kill_api(_: Ground, it: Running) -> None:
    """Kill -9 of whoever answers clients, five times."""
    await _kill(it, "api", 5)


async def _kill(it: Running, half: str, times: int) -> None:
    usual_s = _took_s(it.clients.left[-SETTLED:])
    it.striking = True
    for _ in range(times):
        it.struck += it.clients.under_way
        await it.halves[half].kill()
        await it.halves[half].start()
        await _settles(it, usual_s)
    it.striking = False


async def _settles(it: Running, usual_s: float) -> None:
    """Return when orders are answered as before, or after a while.

    What comes to a cold process piles up in it: a kill there counts how slowly a machine starts
    programs, and not what a kill loses.
    """
    since, ends = len(it.clients.left), perf_counter() + SETTLE_S
    while perf_counter() < ends:
        await asyncio.sleep(0.3)
        answered = it.clients.left[since:][-SETTLED:]
        kept = all(one.name is not None for one in answered)
        if len(answered) == SETTLED and kept and _took_s(answered) <= 1.5 * usual_s:
            return


def _took_s(answered: Sequence[Left]) -> float:
    return median([one.took_s for one in answered]) if answered else 0.0


async def stop_broker(ground: Ground, _: Running) -> None:
    """``rabbitmqctl stop_app``, three seconds, ``start_app``."""
    if ground.broker is not None:
        await asyncio.to_thread(ground.broker.ctl, "stop_app")
        await asyncio.sleep(STOPPED_S)
        await asyncio.to_thread(ground.broker.ctl, "start_app")


async def kill_broker(ground: Ground, _: Running) -> None:
    """Kill -9 of the broker, and its start."""
    if ground.broker is not None:
        await asyncio.to_thread(ground.broker.kill)
        await asyncio.to_thread(ground.broker.start)


FAULTS: Mapping[str, Fault] = {
    "none": nothing,
    "consumer kill -9 x3": kill_consumer,
    "API kill -9 x5": kill_api,
    "broker stop_app, start_app": stop_broker,
    "broker kill -9, start": kill_broker,
}
OF_THE_BROKER = ("broker stop_app, start_app", "broker kill -9, start")


def faults(
    *,
    orders: int = ORDERS_LEFT,
    per_s: float = PER_S,
    only: Sequence[str] = (),
    struck: Sequence[str] = (),
    folder: Path | None = None,
    first_after_s: float = FIRST_AFTER_S,
) -> FaultReport:
    """Every fault against every pipeline, one after the other.

    Raises:
        FileNotFoundError, RuntimeError: PostgreSQL or RabbitMQ is missing; says what to install.
    """
    wanted = {one.name: one for one in pipelines("") if one.name in (only or COMPARED)}
    coming = Coming(orders, per_s, first_after_s)
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with grounds(list(wanted.values()), folder) as ground, loop:
        outcomes = loop.run(_all(ground, list(wanted.values()), struck or list(FAULTS), coming))
    ours = [one for one in outcomes if wanted[one.pipeline].ours]
    kept = not any(one.lost or one.doubled for one in ours)
    return FaultReport(orders, per_s, WORK_MS, AT_ONCE, outcomes, kept)


async def _all(
    ground: Ground, chosen: Sequence[Pipeline], struck: Sequence[str], coming: Coming
) -> list[Outcome]:
    found: list[Outcome] = []
    for name in struck:
        for one in chosen:
            if name in OF_THE_BROKER and not one.broker:
                continue  # It has none.
            say(f"{name}: {one.name}")
            found.append(await _one(ground, one, name, coming))
    return found


async def _one(ground: Ground, pipeline: Pipeline, fault: str, coming: Coming) -> Outcome:
    async with running(ground, pipeline, WORK_MS, AT_ONCE) as it:
        names = (f"f{n:07d}" for n in count())
        await it.is_up(names)
        seconds = coming.orders / coming.per_s
        leaving = asyncio.create_task(
            paced(it.clients, names, coming.per_s, seconds, lambda: it.striking)
        )
        await asyncio.sleep(coming.first_after_s)
        await FAULTS[fault](ground, it)
        await leaving
        made = await it.all_made(QUIET_S, CALM_S)
        calls = await it.mes.fetchval("SELECT count(*) FROM made")
        if pipeline.sqlite:  # Nobody else may look into it while it is served.
            for half in it.halves.values():
                await half.stop()
        kept = await _kept(pipeline, it.setup.orders)
    receipts = {one.name for one in it.clients.left if one.name is not None}
    return Outcome(
        pipeline=pipeline.name,
        fault=fault,
        left=len(it.clients.left),
        errors=sum(one.name is None for one in it.clients.left),
        kept=len(kept),
        lost=len(kept - made.keys()),
        lost_silently=len(receipts - made.keys()),
        doubled=int(calls) - len(made),
        under_way=it.struck,
    )


async def _kept(pipeline: Pipeline, url: str) -> set[str]:
    """What the MES would call every order that the pipeline has."""
    if pipeline.ours:
        from orderkeep.kernel.ids import order_no

        async with opened(Place(url, Path())) as store:
            rows = await store.read(
                lambda work: work.raw.execute("SELECT n FROM orders").fetchall()
            )
        return {str(order_no(n)) for (n,) in rows}
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT ref FROM orders")
    await connection.close()
    return {row["ref"] for row in rows}
