"""The process: takes the lock, recovers, serves, and on SIGTERM finishes what it holds."""

import asyncio
import gc
import resource
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TypeAlias

import structlog

from orderkeep.config import Settings
from orderkeep.http.edge import EdgeLimits
from orderkeep.http.office.app import OfficeApp
from orderkeep.http.serve import Served, listen, serve
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.roles import failpoints
from orderkeep.roles.applications import door_app, office_app
from orderkeep.roles.parts import Parts, build
from orderkeep.roles.workers import open_transport, recover, start, topics

ROLES = frozenset({"door", "office", "relay", "bridge", "courier", "quoter", "watch"})
DRAIN = timedelta(seconds=25)
"""For what is under way at SIGTERM; the rest of the 30 s is for closing."""

OPEN_FILES = 65_536

Ready: TypeAlias = Callable[[dict[str, int]], None]

log = structlog.get_logger()


async def run(settings: Settings, roles: frozenset[str], ready: Ready) -> None:
    """Run the given roles until SIGTERM or SIGINT; ``ready`` is told the ports by role.

    Raises:
        Invalid: a setting will not do.
        AlreadyRunning: another process serves this database.
        OSError: a port is taken.
    """
    _arm_failpoints(settings)
    _allow_many_files()
    stop = asyncio.Event()
    _on_signals(stop)
    async with AsyncExitStack() as stack:
        # Ports first: whoever cannot listen must not take the store from someone who can.
        sockets = {role: listen(*address) for role, address in _addresses(settings, roles)}
        for bound in sockets.values():
            stack.callback(bound.close)
        parts = await build(settings, stack, roles=roles)
        await recover(parts)
        await open_transport(parts, roles, stack)
        served = [Served(role, _app(role, parts), bound) for role, bound in sockets.items()]
        ports = {one.name: one.port for one in served}
        # What has been built stays till the end: no collection need look at it again.
        gc.collect()
        gc.freeze()
        # Nearly all that a request makes goes when it is answered; looking for circles among it
        # every 700 objects took a sixth of the door's time.
        gc.set_threshold(50_000, 20, 50)
        await _until_stopped(parts, roles, served, stop, lambda: ready(ports))
    log.info("process.stopped")


async def _until_stopped(
    parts: Parts,
    roles: frozenset[str],
    served: list[Served],
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    loops = start(parts, roles, stop)
    loops.add(asyncio.create_task(_end_streams(served, stop), name="http.streams"))
    # Beside the servers: a slow client and a slow worker must not use up their time in turn.
    drained = asyncio.create_task(_stop_workers(parts, loops, stop), name="workers.drain")
    limits = EdgeLimits(connections_per_peer=parts.settings.connections_per_peer)
    try:
        await serve(served, stop, limits=limits, drain=DRAIN, started=ready)
        await stop.wait()
    finally:
        stop.set()
        await drained


async def _stop_workers(parts: Parts, loops: set[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await stop.wait()
    for topic in topics(parts):
        parts.bells.ring(topic)
    await _drain(loops)


async def _drain(loops: set[asyncio.Task[None]]) -> None:
    """Let every loop finish its step; what does not is cut, and found again at the next start."""
    if not loops:
        return
    _, pending = await asyncio.wait(loops, timeout=DRAIN.total_seconds())
    for late in pending:
        log.warning("worker.cut", worker=late.get_name())
        late.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def _addresses(settings: Settings, roles: frozenset[str]) -> list[tuple[str, tuple[str, int]]]:
    addresses = {
        "door": (settings.host, settings.port),
        "office": (settings.office_host, settings.office_port),
    }
    return [(role, address) for role, address in addresses.items() if role in roles]


def _app(role: str, parts: Parts) -> object:
    return door_app(parts) if role == "door" else office_app(parts)


async def _end_streams(served: list[Served], stop: asyncio.Event) -> None:
    """Open streams would keep their connections until the drain is over."""
    await stop.wait()
    for one in served:
        if isinstance(one.app, OfficeApp):
            one.app.drain()


def _arm_failpoints(settings: Settings) -> None:
    if settings.failpoint is None:
        return
    if not settings.test_mode:
        name = "ORDERKEEP_FAILPOINT"
        raise Invalid([Fault(name, "wrong", "Failpoints are obeyed in test mode only.")])
    failpoints.arm(settings.failpoint)


def _allow_many_files() -> None:
    """Every connection needs a descriptor, and so do the files: the usual 1,024 are soon gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _on_signals(stop: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(name, stop.set)
