"""The process: takes the lock, recovers, serves, and on SIGTERM finishes what it holds."""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import structlog

from orderkeep.config import Settings
from orderkeep.http.edge import EdgeLimits
from orderkeep.http.gate import refused
from orderkeep.http.office.app import OfficeApp
from orderkeep.http.scraped import MetricsApp
from orderkeep.http.serve import Served, serve
from orderkeep.http.sockets import listen
from orderkeep.kernel.collecting import collect_rarely
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.observe.numbers import EVERY_S, Numbers
from orderkeep.roles import failpoints
from orderkeep.roles.applications import door_app, office_app, proxies
from orderkeep.roles.parts import Parts, build
from orderkeep.roles.workers import open_transport, recover, start, topics

ROLES = frozenset({"door", "office", "relay", "bridge", "courier", "quoter", "watch"})
DRAIN = timedelta(seconds=25)
"""For what is under way at SIGTERM; the rest of the 30 s is for closing."""

OPEN_FILES = 65_536

METRICS = "metrics"
"""What the socket is called at which a process of any role tells its numbers."""

Ready: TypeAlias = Callable[[dict[str, int]], None]

log = structlog.get_logger()


FAREWELL_S = 2.0
"""For one more request on an open connection, where another process takes our place."""


async def run(
    settings: Settings,
    roles: frozenset[str],
    ready: Ready,
    held: Mapping[str, socket.socket] | None = None,
    counted: Path | None = None,
) -> None:
    """Run the given roles until SIGTERM or SIGINT; ``ready`` is told the ports by role.

    Args:
        settings: everything that can be set.
        roles: which of ``ROLES``.
        ready: called once everything answers.
        held: listening sockets by role that somebody holds beyond our life; others are opened.
        counted: a folder where the processes of one parent keep their numbers for each other.

    Raises:
        Invalid: a setting will not do.
        AlreadyRunning: another process serves this database.
        OSError: a port is taken.
    """
    _arm_failpoints(settings)
    _allow_many_files()
    told, stop = asyncio.Event(), asyncio.Event()
    _on_signals(told)
    leaving = asyncio.create_task(_leave(told, stop, settings.leave_notice), name="run.leave")
    async with AsyncExitStack() as stack:
        stack.callback(leaving.cancel)
        # Ports first: whoever cannot listen must not take the store from someone who can.
        sockets = _sockets(settings, roles, held or {})
        for bound in sockets.values():
            stack.callback(bound.close)
        parts = await build(settings, stack, roles=roles)
        await recover(parts)
        await open_transport(parts, roles, stack)
        numbers = _numbers(parts, roles, counted)
        served = [
            Served(role, _app(role, parts, told.is_set, numbers), bound)
            for role, bound in sockets.items()
        ]
        keeping = asyncio.create_task(_keep(numbers), name="numbers.keep")
        stack.callback(keeping.cancel)
        ports = {one.name: one.port for one in served}
        collect_rarely()
        limits = EdgeLimits(
            connections_per_peer=settings.connections_per_peer,
            proxies=proxies(settings),
            farewell_s=FAREWELL_S if held else 0.0,
        )
        await _until_stopped(parts, roles, served, limits, stop, lambda: ready(ports))
    log.info("process.stopped")


async def _until_stopped(
    parts: Parts,
    roles: frozenset[str],
    served: list[Served],
    limits: EdgeLimits,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    loops = start(parts, roles, stop)
    loops.add(asyncio.create_task(_end_streams(served, stop), name="http.streams"))
    # Beside the servers: a slow client and a slow worker must not use up their time in turn.
    drained = asyncio.create_task(_stop_workers(parts, loops, stop), name="workers.drain")
    try:
        await serve(served, stop, limits=limits, drain=_time_to_drain(parts), started=ready)
        await stop.wait()
    finally:
        stop.set()
        await drained


async def _stop_workers(parts: Parts, loops: set[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await stop.wait()
    for topic in topics(parts):
        parts.bells.ring(topic)
    await _drain(loops, _time_to_drain(parts))


def _time_to_drain(parts: Parts) -> timedelta:
    return DRAIN - parts.settings.leave_notice


async def _drain(loops: set[asyncio.Task[None]], drain: timedelta) -> None:
    """Let every loop finish its step; what does not is cut, and found again at the next start."""
    if not loops:
        return
    _, pending = await asyncio.wait(loops, timeout=drain.total_seconds())
    for late in pending:
        log.warning("worker.cut", worker=late.get_name())
        late.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def _sockets(
    settings: Settings, roles: frozenset[str], held: Mapping[str, socket.socket]
) -> dict[str, socket.socket]:
    return {
        role: held[role] if role in held else listen(*address)
        for role, address in addresses(settings, roles).items()
    }


def addresses(settings: Settings, roles: frozenset[str]) -> dict[str, tuple[str, int]]:
    """Where those of the roles listen that do, and any of them with its numbers if that is set."""
    every = {
        "door": (settings.host, settings.port),
        "office": (settings.office_host, settings.office_port),
    }
    found = {role: address for role, address in every.items() if role in roles}
    if settings.metrics_port is not None:
        found[METRICS] = settings.metrics_host, settings.metrics_port
    return found


def _app(name: str, parts: Parts, leaving: Callable[[], bool], numbers: Numbers) -> object:
    if name == METRICS:
        return MetricsApp(numbers, parts.transport, parts.counting)
    return door_app(parts, leaving) if name == "door" else office_app(parts, leaving, numbers)


def _numbers(parts: Parts, roles: frozenset[str], counted: Path | None) -> Numbers:
    """What this process counts; an office adds its own, with what the transport carried."""
    numbers = Numbers(counted)
    numbers.add(lambda: refused(parts.admission))
    if "office" not in roles:
        numbers.add(parts.transport.traffic.families)
    return numbers


async def _keep(numbers: Numbers) -> None:
    while numbers.shared:
        with suppress(OSError):  # A full disk keeps nobody from serving.
            numbers.keep()
        await asyncio.sleep(EVERY_S)


async def _leave(told: asyncio.Event, stop: asyncio.Event, notice: timedelta) -> None:
    """Say at ``/readyz`` that we leave, and leave when those who ask there have had time to."""
    await told.wait()
    log.info("process.leaves", notice_s=notice.total_seconds())
    await asyncio.sleep(notice.total_seconds())
    stop.set()


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


def _on_signals(told: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(name, told.set)
