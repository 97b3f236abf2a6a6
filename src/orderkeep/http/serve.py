"""Several applications on several sockets in one event loop, stopped together in good order."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import uvicorn
import uvloop

from orderkeep.http.edge import EdgeLimits, EdgeProtocol, protocol

BACKLOG = 2048
_CHECK_S = 0.5
DRAIN = timedelta(seconds=25)
"""Left of the 30 s that a role has, so that it can close what it opened."""


@dataclass(frozen=True, slots=True)
class Served:
    """An ASGI application and the socket it listens on."""

    name: str
    app: Any
    socket: socket.socket

    @property
    def port(self) -> int:
        """The port in fact, also when 0 was asked for."""
        return int(self.socket.getsockname()[1])


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that children do not inherit; port 0 picks a free one.

    Raises:
        OSError: the port is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio turns Nagle's delay (40 ms an answer) off only where it reads that.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


async def serve(
    apps: Sequence[Served],
    stop: asyncio.Event,
    *,
    limits: EdgeLimits | None = None,
    drain: timedelta = DRAIN,
    started: Callable[[], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; then refuse new connections and finish what was begun.

    ``started`` is called once every socket answers. Returns when all connections are gone, or
    after ``drain``, when those left have been cut.
    """
    servers = [_Server(_config(one, limits or EdgeLimits(), drain)) for one in apps]
    async with asyncio.TaskGroup() as group:
        for server, one in zip(servers, apps, strict=True):
            group.create_task(server.serve(sockets=[one.socket]), name=f"http.{one.name}")
        group.create_task(_watch(servers, stop, started), name="http.watch")


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the role, which stops everything it holds, not only HTTP."""
        yield

    def check(self, now: float) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, EdgeProtocol):
                connection.check(now)


def _config(one: Served, limits: EdgeLimits, drain: timedelta) -> uvicorn.Config:
    return uvicorn.Config(
        one.app,
        http=protocol(limits),
        ws="none",
        lifespan="auto",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(drain.total_seconds()),
    )


async def _watch(
    servers: Sequence[_Server], stop: asyncio.Event, started: Callable[[], None] | None
) -> None:
    loop = asyncio.get_running_loop()
    for server in servers:
        await server.answering.wait()
    if started is not None:
        started()
    while not await _rung(stop):
        for server in servers:
            server.check(loop.time())
    for server in servers:
        server.should_exit = True


async def _rung(stop: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CHECK_S):
            await stop.wait()
    return stop.is_set()
