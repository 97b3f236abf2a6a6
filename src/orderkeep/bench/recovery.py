"""``orderkeep bench recovery``: how quickly the backlog of an outage reaches a MES that is back.

The MES is away while orders pile up, and comes back with a limit of calls at once. Its own journal
and counters tell how it went: whether it was ever asked for more than it bears, whether each order
was made once, and how far out of their order the oldest were.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvloop

from orderkeep.adapters.mes_http import MesHttp, MesHttpSettings
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, add_partner
from orderkeep.bench.places import migrated, opened, sqlite
from orderkeep.bridge.dispatch import STEPS_AT_ONCE, Bridge, BridgeSettings
from orderkeep.bridge.telling import DESTINATION
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, OrderNo, work_order_ref
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderApproved, OrderSubmitted
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Position
from orderkeep.orders.policy import Policy

ARRIVALS_PER_S = 50.0
OUTAGE_S = 600.0
TIMES = 5.0
"""The backlog has to go so many times as quickly as orders arrive, or within ``WITHIN_S``."""
WITHIN_S = 60.0
AT_ONCE = 200
"""Orders written in one commit while the backlog is made."""
_MES = (sys.executable, "-c", "from orderkeep.cli.simulate import app; app()", "mes")
_CAUSE = Cause(Actor(ActorKind.ENGINE, "bench"), "bench", "bench", "0" * 32)


def recovery(orders: int, limit: int, work_ms: float, folder: Path | None = None) -> dict[str, Any]:
    """Fill, fail, come back and drain; what the far side says of it."""
    # The loop that serves people, so that the figures mean what they will meet.
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(prefix="orderkeep-recovery-", dir=folder) as made, loop:
        return loop.run(_recovery(Path(made), orders, limit, work_ms))


async def _recovery(folder: Path, orders: int, limit: int, work_ms: float) -> dict[str, Any]:
    place, port = sqlite(folder / "orderkeep.db"), _free_port()
    await migrated(place)
    async with opened(place) as store:
        await store.write(add_partner)
        master = OrderMaster(store, SystemClock(), Ids(), Policy())
        await _fill(store, master, orders)
        settings = MesHttpSettings(base_url=f"http://127.0.0.1:{port}", max_connections=limit)
        async with MesHttp(settings) as mes:
            pace = BridgeSettings(concurrency=limit, poll=timedelta(hours=1))
            bridge = Bridge(store.behind, master, mes, SystemClock(), pace, "bench")
            await _find_it_away(bridge)
            async with _practice_mes(folder, port, limit, work_ms) as address:
                used = time.process_time()
                took_s = await _drain(bridge, store)
                used = time.process_time() - used
                stats = await _stats(address)
    made = _made(folder / "journal.jsonl")
    return {
        "backlog": orders,
        "whole_backlog": int(OUTAGE_S * ARRIVALS_PER_S),
        "took_s": round(took_s, 2),
        "per_s": round(orders / took_s, 1),
        "times_arrivals": round(orders / took_s / ARRIVALS_PER_S, 2),
        "whole_backlog_s": round(OUTAGE_S * ARRIVALS_PER_S * took_s / orders, 1),
        "cpu_us": round(used / orders * 1e6, 1),
        "limit": limit,
        "work_ms": work_ms,
        "peak_at_once": stats["peak_in_flight"],
        "turned_away": stats["turned_away"],
        "made": len(made),
        "made_twice": sum(1 for times in Counter(made).values() if times > 1),
        "places_behind": _places_behind(made),
        "target_met": _is_met(orders, took_s) and not stats["turned_away"],
    }


def _is_met(orders: int, took_s: float) -> bool:
    per_s = orders / took_s
    return per_s >= TIMES * ARRIVALS_PER_S or OUTAGE_S * ARRIVALS_PER_S / per_s <= WITHIN_S


async def _fill(store: Any, master: OrderMaster, orders: int) -> None:
    for first in range(0, orders, AT_ONCE):
        count = min(AT_ONCE, orders - first)
        await store.write(lambda work, count=count: _approve(work, master, count))


def _approve(work: SqlWork, master: OrderMaster, count: int) -> None:
    for _ in range(count):
        _one(work, master)


def _one(work: SqlWork, master: OrderMaster) -> None:
    """An order that waits to be sent, as it is after its approval."""
    now = SystemClock().now()
    no: OrderNo = work.orders.next_no()
    position = Position(1, 1, sku="BAND-1")
    submitted = OrderSubmitted("api", [position], "0" * 64, now + timedelta(days=21), PARTNER, no)
    reference = work_order_ref(no, 1)
    master.open(work, no, [submitted, OrderApproved(reference, 1)], _CAUSE, now)
    work.deliveries.want(DESTINATION, reference, no, now)


async def _find_it_away(bridge: Bridge) -> None:
    """As it is after an outage: the breaker is open."""
    while bridge.gate.has_room():
        await bridge.step()


async def _drain(bridge: Bridge, store: Any) -> float:
    """Seconds from the moment the MES is back until nothing waits."""
    began = time.perf_counter()
    done = asyncio.Event()

    async def steps() -> None:
        while not done.is_set():
            if not await bridge.step():
                await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(steps()) for _ in range(STEPS_AT_ONCE)]
    while await store.read(_unsent):  # noqa: ASYNC110  # Who empties the table is being measured.
        await asyncio.sleep(0.05)
    took_s = time.perf_counter() - began
    done.set()
    await asyncio.gather(*tasks)
    return took_s


def _unsent(work: SqlWork) -> int:
    query = "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending', 'uncertain')"
    [(count,)] = work.raw.execute(query)
    return int(count)


@asynccontextmanager
async def _practice_mes(folder: Path, port: int, limit: int, work_ms: float) -> AsyncIterator[str]:
    flags = ("--port", str(port), "--journal", str(folder / "journal.jsonl"))
    pace = ("--limit", str(limit), "--work", str(work_ms / 1000))
    process: Process = await asyncio.create_subprocess_exec(
        *_MES, *flags, *pace, stdout=PIPE, stderr=DEVNULL
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the practice MES has no output")
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        if not line:
            raise RuntimeError("the practice MES does not come up")
        yield line.split()[-1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        await process.wait()


async def _stats(address: str) -> dict[str, int]:
    async with httpx.AsyncClient(trust_env=False) as http:
        told: dict[str, int] = (await http.get(f"{address}/practice/stats")).json()
        return told


def _made(journal: Path) -> list[str]:
    lines = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
    return [line["reference"] for line in lines if line.get("effect") == "created"]


def _places_behind(made: list[str]) -> int:
    """By how many places an order was made later than its turn, at most."""
    turns = {reference: turn for turn, reference in enumerate(sorted(made))}
    return max((place - turns[one] for place, one in enumerate(made)), default=0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
