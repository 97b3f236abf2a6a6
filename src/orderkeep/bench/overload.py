"""``orderkeep bench overload``: what is left of the door when far too much comes.

First what it can do with as many clients as it likes; then an open model at multiples of that,
whose arrivals wait for nobody; then orders beside thousands of connections that take for ever. The
whole product runs, all roles in one process; clients are processes of their own.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import msgspec
import uvloop

from orderkeep.bench.accept import Ratio
from orderkeep.bench.arrivals import Arrived, Arriving
from orderkeep.bench.door import Door, open_door, told
from orderkeep.bench.knocker import Knocking
from orderkeep.bench.load import Sample
from orderkeep.bench.places import sqlite
from orderkeep.bench.slow import Held
from orderkeep.kernel.ids import Ids

T = TypeVar("T")

CLIENTS = 256
"""Of the closed loop that finds the capacity."""
CAPACITY_S = 10.0
PROCESSES = 2
CONNECTIONS = 3000
"""Of all arrivals together; each carries one request at a time."""
READS = 10
"""Every so many-th arrival asks for a list of orders."""
BESIDE = 16
"""Clients that post orders beside the slow connections."""

GOODPUT, ADMITTED_MS, REFUSED_MS = 0.9, 500.0, 50.0
BESIDE_SLOW = 0.9


class Flood(msgspec.Struct, frozen=True):
    """One multiple of the capacity; ``cpu_us`` is what the server used for each arrival.

    ``server_waited`` is the share of the time that its event loop waited for a processor which
    others used: where it is more than in the report's, kept / capacity says little of the server.
    """

    factor: float
    offered_per_s: float
    kept_per_s: float
    kept_p50_ms: float | None
    kept_p99_ms: float | None
    refused_per_s: float
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    lists: int
    lists_refused: int
    unanswered: int
    wrong: dict[str, int]
    clients_late_p99_ms: float | None
    cpu_us: float
    server_waited: float


class SlowOnes(msgspec.Struct, frozen=True):
    """Orders with slow connections beside them, and without: half of the time before, half after.

    What waits to be carried on grows meanwhile, and processors change their speed.
    """

    connections: int
    held: Held
    before: Sample
    beside: Sample
    after: Sample

    @property
    def alone_per_s(self) -> float:
        """Orders kept without them."""
        return (self.before.per_s + self.after.per_s) / 2


class OverloadReport(msgspec.Struct, frozen=True):
    """What ``bench overload`` prints."""

    capacity: Sample
    server_waited: float
    """For a processor, while the capacity was measured."""
    floods: list[Flood]
    slow: SlowOnes | None
    ratios: list[Ratio]


def overload(
    *,
    seconds: float = 10.0,
    factors: Sequence[float] = (2.0, 5.0),
    slow: int = 4000,
    slow_seconds: float = 10.0,
    roles: Sequence[str] = (),
    folder: Path | None = None,
) -> OverloadReport:
    """Measure it.

    Args:
        seconds: how long each flood lasts.
        factors: multiples of the capacity.
        slow: connections that take for ever; 0 for none.
        slow_seconds: for how long.
        roles: of the server; all without any.
        folder: on the disk to be used; a temporary one by default.
    """
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(dir=folder, prefix="orderkeep-bench-") as place, loop:
        return loop.run(_measure(Path(place), seconds, factors, (slow, slow_seconds), roles))


async def _measure(
    folder: Path,
    seconds: float,
    factors: Sequence[float],
    slow: tuple[int, float],
    roles: Sequence[str],
) -> OverloadReport:
    async with open_door(sqlite(folder / "orderkeep.db"), roles) as door:
        await door.load(BESIDE, 0.5)
        waited = _watch(door)
        capacity = await door.load(CLIENTS, min(seconds, CAPACITY_S))
        starved = waited()
        floods = [await _flood(door, capacity.per_s, factor, seconds) for factor in factors]
        held = await _slow(door, *slow) if slow[0] else None
    return OverloadReport(capacity, starved, floods, held, _ratios(capacity, floods, held))


def _watch(door: Door) -> Callable[[], float]:
    """Tells which share of the time from now on the server's event loop waited for a processor."""
    began, waited = perf_counter(), door.server.waited_s()
    return lambda: round((door.server.waited_s() - waited) / (perf_counter() - began), 2)


async def _flood(door: Door, capacity: float, factor: float, seconds: float) -> Flood:
    before, offered = door.server.cpu_s(), capacity * factor
    waited = _watch(door)
    arrived = Arrived()
    for part in await asyncio.gather(
        *[_arriving(door, offered / PROCESSES, seconds, seed) for seed in range(PROCESSES)]
    ):
        arrived.join(part)
    used = door.server.cpu_s() - before
    kept, refused = arrived.admitted, arrived.refused
    return Flood(
        factor=factor,
        offered_per_s=round(offered, 1),
        kept_per_s=round(kept.many / seconds, 1),
        kept_p50_ms=kept.below_ms(0.50),
        kept_p99_ms=kept.below_ms(0.99),
        refused_per_s=round(refused.many / seconds, 1),
        refused_p50_ms=refused.below_ms(0.50),
        refused_p99_ms=refused.below_ms(0.99),
        lists=arrived.reads,
        lists_refused=arrived.reads_refused,
        unanswered=arrived.unanswered,
        wrong=arrived.wrong,
        clients_late_p99_ms=arrived.late.below_ms(0.99),
        cpu_us=round(used / (offered * seconds) * 1e6, 1),
        server_waited=waited(),
    )


async def _arriving(door: Door, per_s: float, seconds: float, seed: int) -> Arrived:
    knocking = _knocking(door, CONNECTIONS // PROCESSES, seconds)
    wanted = Arriving(knocking, per_s, READS, seed)
    return await _told("orderkeep.bench.arrivals", wanted, Arrived)


async def _slow(door: Door, connections: int, seconds: float) -> SlowOnes:
    before = await door.load(BESIDE, seconds / 2)
    holding = asyncio.create_task(
        _told("orderkeep.bench.slow", _knocking(door, connections, seconds + 5.0), Held)
    )
    await asyncio.sleep(3.0)  # till all of them are there
    beside = await door.load(BESIDE, seconds, bears_refusals=True)
    held = await holding
    return SlowOnes(connections, held, before, beside, await door.load(BESIDE, seconds / 2))


def _knocking(door: Door, clients: int, seconds: float) -> Knocking:
    return Knocking(
        port=door.server.ports["door"],
        key=door.key,
        body=door.body,
        prefix=Ids().token(12),
        clients=clients,
        seconds=seconds,
    )


async def _told(module: str, wanted: Any, shape: type[T]) -> T:
    """What a process of clients prints."""
    printed, _ = await told(module, wanted)
    return msgspec.json.decode(printed, type=shape)


def _ratios(capacity: Sample, floods: Sequence[Flood], slow: SlowOnes | None) -> list[Ratio]:
    found = []
    for flood in floods:
        at, kept = f"at {flood.factor:g} x", flood.kept_per_s / capacity.per_s
        found.append(Ratio(f"kept / capacity {at}", round(kept, 2), GOODPUT, kept >= GOODPUT))
        for what, took, most in (
            ("kept p99 ms", flood.kept_p99_ms, ADMITTED_MS),
            ("refused p99 ms", flood.refused_p99_ms, REFUSED_MS),
        ):
            found.append(Ratio(f"{what} {at}", took or 0.0, most, (took or 0.0) <= most))
    if slow is not None:
        share = slow.beside.per_s / slow.alone_per_s
        name = f"orders beside {slow.connections} slow connections / alone"
        found.append(Ratio(name, round(share, 2), BESIDE_SLOW, share >= BESIDE_SLOW))
    return found
