"""Several applications on several sockets in one event loop, stopped together in good order."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import uvicorn
import uvloop

from orderkeep.http.acceptor import Acceptor
from orderkeep.http.edge import EdgeLimits, EdgeProtocol, protocol
from orderkeep.http.gate import Gate
from orderkeep.http.sockets import BACKLOG

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


async def serve(
    apps: Sequence[Served],
    stop: asyncio.Event,
    *,
    limits: EdgeLimits | None = None,
    drain: timedelta = DRAIN,
    started: Callable[[], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; then accept no more connections and finish what was begun.

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
        self.gone = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # It would take one connection in each turn; see ``acceptor``.
        loop = asyncio.get_running_loop()
        # uvicorn keeps asyncio's servers there; of them it calls what an acceptor has as well.
        acceptors: list[Any] = [Acceptor(loop, one, self._protocol) for one in sockets or ()]
        self.servers = acceptors
        self.answering.set()

    def _protocol(self) -> asyncio.Protocol:
        edge = cast("type[EdgeProtocol]", self.config.http_protocol_class)
        return edge(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        edge = cast("type[EdgeProtocol]", self.config.http_protocol_class)
        loop = asyncio.get_running_loop()
        edge.leaves_at = loop.time()
        gate: Gate | None = getattr(self.config.loaded_app, "gate", None)
        if gate is not None and gate.shedding is not None:
            gate.shedding.end(loop)
        await super().shutdown(sockets)
        self.gone.set()

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
    await _checked_until(stop, servers, loop)
    for server in servers:
        server.should_exit = True
    for server in servers:
        await _checked_until(server.gone, servers, loop)


async def _checked_until(
    over: asyncio.Event, servers: Sequence[_Server], loop: asyncio.AbstractEventLoop
) -> None:
    while not await _rung(over):
        for server in servers:
            server.check(loop.time())


async def _rung(bell: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CHECK_S):
            await bell.wait()
    return bell.is_set()
