"""One connection to the broker that is kept alive: whatever breaks, everything is made anew.

Nothing is ever repaired in place. A connection that closed, a channel the broker closed, a consumer
it cancelled, a call that did not end in time: the connection goes, and after a pause another one
comes with its own channels and consumers. A resource alarm is seen and counts as being away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self

import aio_pika
import msgspec
import structlog
from aio_pika.connection import make_url

from orderkeep.adapters.trust import trusting, why_not
from orderkeep.kernel.clock import Clock

log = structlog.get_logger()

# They write their own lines beside ours, with another shape; what matters of it we say ourselves.
for _name in ("aio_pika", "aiormq"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Timing(msgspec.Struct, frozen=True):
    """Deadlines and pauses in seconds."""

    connect: float = 10.0
    """TCP, TLS and the broker's handshake."""
    set_up: float = 20.0
    """Channels, declarations and consumers of a new connection, together."""
    call: float = 5.0
    """One declaration, one ack, one closing."""
    publish: float = 5.0
    """One envelope, until its confirm."""
    batch: float = 15.0
    """All envelopes of one call; shorter than the relay's lease."""
    heartbeat: int = 10
    first_pause: float = 0.25
    longest_pause: float = 15.0
    steady: float = 30.0
    """A connection that lasted so long was a good one: the pauses begin anew."""
    rest_refused: float = 1.0
    """So long nothing is sent of a kind whose queue is full."""
    rest_hanging: float = 15.0
    """The same for a kind whose queue did not answer while others did."""
    quiet: float = 30.0
    """So long without a delivery, and the queues are taken to be empty."""
    look: float = 0.1
    """How often to look whether the broker has blocked us."""


class LinkState(msgspec.Struct, frozen=True):
    """What can be seen of a link."""

    connected_since: datetime | None
    blocked: bool
    attempts: int
    """Tries since the last connection that lasted."""
    last_error: str | None


class Tenant(Protocol):
    """What lives on a connection."""

    async def ready(self) -> None:
        """Return when a connection is of use; raise when not now."""
        ...

    async def move_in(self, connection: "Wire") -> None:
        """Make channels and consumers on a new connection."""
        ...

    async def move_out(self) -> None:
        """Forget them: the connection is gone, or about to go."""
        ...


class Link:
    """Keeps a connection for its tenant, from ``async with`` to its end."""

    def __init__(  # noqa: PLR0913  # Everything passed in, by name.
        self,
        url: str,
        name: str,
        tenant: Tenant,
        clock: Clock,
        chance: Random,
        timing: Timing,
        *,
        ca_file: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        up: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._ca_file = ca_file
        self.name = name
        self._tenant = tenant
        self._clock = clock
        self._chance = chance
        self._timing = timing
        self._sleep = sleep
        self._up = up
        self._since: datetime | None = None
        self._blocked = False
        self._attempts = 0
        self._last_error: str | None = None
        self._broken: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name=f"link.{self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def state(self) -> LinkState:
        """How it is just now."""
        return LinkState(self._since, self._blocked, self._attempts, self._last_error)

    @property
    def is_up(self) -> bool:
        """Whether it can be used: connected, set up, and not blocked by the broker."""
        return self._since is not None and not self._blocked and not self._broken.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has no memory or disk left and takes nothing."""
        return self._blocked

    def broken(self, why: str) -> None:
        """Tell that the connection is of no use any more; another one will come."""
        if self._since is not None and not self._broken.is_set():
            self._last_error = why
        self._broken.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._attempts += 1
            begun = loop.time()
            await self._live_once()
            if was_cancelled():
                return
            if loop.time() - begun >= self._timing.steady:
                self._attempts = 0
            pause = pause_after(self._attempts, self._chance, self._timing)
            log.warning(
                "broker.away",
                link=self.name,
                reason=self._last_error,
                attempt=self._attempts,
                pause_s=round(pause, 3),
            )
            await self._sleep(pause)

    async def _live_once(self) -> None:
        """From connecting to losing the connection; every failure ends here."""
        wire = Wire(self._url, self.name, self._timing.heartbeat, self._ca_file)
        self._broken.clear()
        try:
            await self._tenant.ready()
            await self._connect(wire)
            await self._until_broken(wire)
        except asyncio.CancelledError:
            # The library also answers calls this way when it closes a connection.
            self._last_error = "closed"
            if was_cancelled():
                raise
        except Exception as failure:  # noqa: BLE001  # Top of the loop: told, and tried again.
            self._last_error = said(failure)
        finally:
            self._since, self._blocked = None, False
            try:
                await self._tenant.move_out()
            finally:  # Told to end meanwhile, it would leave a connection that holds deliveries.
                await wire.end(self._timing.call, orderly=was_cancelled())

    async def _connect(self, wire: "Wire") -> None:
        async with asyncio.timeout(self._timing.connect):
            await wire.connect(timeout=self._timing.connect)
        async with asyncio.timeout(self._timing.set_up):
            await self._tenant.move_in(wire)
        self._since = self._clock.now()
        log.info("broker.connected", link=self.name, attempt=self._attempts)
        self._up()

    async def _until_broken(self, wire: "Wire") -> None:
        """Look after the connection: closed, blocked, or told to be of no use."""
        closed = wire.closing()
        while not (self._broken.is_set() or closed.done() or was_cancelled()):
            self._see(await wire.is_blocked())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.look):
                    await self._broken.wait()
        if closed.done() and not self._broken.is_set():
            self._last_error = said(_why(closed))

    def _see(self, blocked: bool) -> None:  # noqa: FBT001  # A state that was read, not a switch.
        if blocked == self._blocked:
            return
        self._blocked = blocked
        log.warning("broker.blocked" if blocked else "broker.unblocked", link=self.name)
        if not blocked:
            self._up()


class Wire(aio_pika.Connection):
    """A connection that can be cut: one to a broker that hangs does not end by asking it to.

    ``ca_file`` says whom ``amqps`` believes; whatever the address says of that is not heard.
    """

    def __init__(self, url: str, name: str, heartbeat: int, ca_file: Path | None = None) -> None:
        super().__init__(
            make_url(url, heartbeat=heartbeat),
            client_properties={"connection_name": f"orderkeep {name}"},
        )
        self._sockets = _Sockets(ca_file)
        self.kwargs["transport_factory"] = self._sockets

    def closing(self) -> "asyncio.Future[Any]":
        """Done as soon as the connection is."""
        assert self.transport is not None  # noqa: S101  # Asked after connecting only.
        return self.transport.connection.closing

    async def is_blocked(self) -> bool:
        """Whether the broker said that it takes nothing now."""
        if self.transport is None:
            return False
        try:
            async with asyncio.timeout(0):
                await self.transport.ready()
        except TimeoutError:
            return True
        return False

    def hold(self) -> None:
        """Read no more: what comes waits in the sockets, and behind them at the broker."""
        self._sockets.valve.shut()

    def go_on(self) -> None:
        """Read again."""
        self._sockets.valve.open()

    async def end(self, seconds: float, *, orderly: bool) -> None:
        """Close it: with a good-bye if there is time for one, else by cutting it."""
        if not orderly:
            self._sockets.cut()
        try:
            with suppress(Exception):
                async with asyncio.timeout(seconds):
                    await self.close()
        finally:
            self._sockets.cut()


class _Valve(asyncio.StreamReader):
    """A reader that can be shut; a broker that gets rid of nothing for long closes the connection.

    AMQP bounds by a number what it hands out, and brokers do not obey a bound in bytes.
    """

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._is_open = asyncio.Event()
        self._is_open.set()

    def shut(self) -> None:
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    async def readexactly(self, n: int) -> bytes:
        await self._is_open.wait()
        return await super().readexactly(n)


class _Sockets:
    """Makes the connection's socket and keeps hold of it."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._writer: asyncio.StreamWriter | None = None
        self.valve = _Valve()

    async def create(
        self, url: Any, ssl_context_provider: Any = None, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Not the library's own: with ``no_verify_ssl`` in the address it would believe anybody.
        del ssl_context_provider
        is_secret = url.scheme == "amqps"
        secret = await asyncio.to_thread(trusting, self._ca_file) if is_secret else None
        loop, reader = asyncio.get_running_loop(), self.valve
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol, url.host, url.port, ssl=secret, **options
        )
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, self._writer

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


def pause_after(attempts: int, chance: Random, timing: Timing) -> float:
    """Seconds to wait: anything up to a bound that doubles, so that not all come back at once."""
    bound = timing.first_pause * float(1 << min(max(attempts - 1, 0), 16))
    return chance.uniform(0, min(bound, timing.longest_pause))


def said(failure: BaseException | None) -> str:
    """A failure in a few words; the libraries put stars where the address has its password."""
    if failure is None:
        return "closed"
    if sentence := why_not(failure):
        return sentence
    return f"{type(failure).__name__}: {failure}".removesuffix(": ")[:300]


def _why(closed: "asyncio.Future[Any]") -> BaseException | None:
    return None if closed.cancelled() else closed.exception()


def was_cancelled() -> bool:
    """Whether this task was cancelled, rather than a call in it that the library had cancelled.

    It is asked in loops as well: a cancellation that comes in the very instant of an answer is
    swallowed by ``asyncio.wait_for`` before Python 3.12, through which the library makes its calls.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
