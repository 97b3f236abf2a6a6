"""The parent of several processes: holds their sockets, replaces whoever dies, rolls them.

It serves nobody itself. The listening sockets are its own for its whole life, so that what waits in
them outlives any child: a connection that no child has accepted yet is the next one's. Children
stay in its process group, and the kernel kills them when it dies, so that no socket stays behind.
"""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from orderkeep.config import Settings
from orderkeep.http.sockets import BACKLOG, listen
from orderkeep.observe.numbers import fold
from orderkeep.roles.run import METRICS, Ready, addresses

SCALED: Final = ("door", "office")
"""The roles that there may be several processes of under one parent."""

READY_LINE: Final = "orderkeep is ready"
START_S: Final = 60.0
"""How long a child may take to get ready."""
END_S: Final = 29.0
"""How long a child may take to end, before it is killed: it drains within 25 s."""
FIRST_REST_S: Final = 0.2
LONGEST_REST_S: Final = 30.0
STEADY_S: Final = 30.0
"""Who lived so long did not die of its start: the next one begins without a rest."""

_PR_SET_PDEATHSIG: Final = 1
_PROGRAM: Final = "from orderkeep.cli import main; main()"
_libc = ctypes.CDLL(None)  # Loaded here: between fork and exec nothing should be.

log = structlog.get_logger()


class Child:
    """One process: told to start, ready or not, ended."""

    def __init__(self, process: "subprocess.Popen[bytes]", now: float) -> None:
        self.process = process
        self.began = now
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name=f"child.{process.pid}")

    def look(self) -> None:
        """Reap it, if it has ended."""
        if self.process.poll() is not None:
            self.ended.set()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing, if it has ended."""
        self.process.send_signal(number)

    async def settled(self) -> bool:
        """Wait until it is ready, True, or has ended or taken too long to start."""
        waits = [asyncio.create_task(one.wait()) for one in (self.ready, self.ended)]
        await asyncio.wait(waits, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        return self.ready.is_set() and not self.ended.is_set()

    async def end(self) -> None:
        """Have it finish what it holds; what is left after that is killed."""
        self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self.ended.wait()
                return
        log.error("process.child_killed", pid=self.process.pid)
        self.signal(signal.SIGKILL)
        await self.ended.wait()

    async def _read(self) -> None:
        """Read what it prints to its end: a full pipe would stop it."""
        assert self.process.stdout is not None  # noqa: S101  # It was asked for.
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self.process.stdout
        )
        async for line in reader:
            if line.decode(errors="replace").strip() == READY_LINE:
                log.info("process.child_ready", pid=self.process.pid)
                self.ready.set()


@dataclass
class Seat:
    """What one child after the other does, and who does it now."""

    name: str
    roles: tuple[str, ...]
    rest_s: float = FIRST_REST_S
    taken: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its child is being replaced: the dead and the rolled are not replaced twice."""
    child: Child | None = None


class Parent:
    """Keeps a child on every seat until it is told to end."""

    def __init__(
        self, seats: Sequence[Seat], sockets: Mapping[str, socket.socket], counted: Path
    ) -> None:
        self._seats = seats
        self._counted = counted
        self._sockets = sockets
        self._told, self._roll = asyncio.Event(), asyncio.Event()
        self._everybody: set[Child] = set()

    async def run(self, ready: Callable[[], None]) -> int:
        """Start everybody, and keep them until SIGTERM or SIGINT; returns the exit status.

        SIGHUP replaces them one by one: the next one is ready before the last one leaves. Whoever
        cannot be started at the beginning ends all; later it is tried again and again.
        """
        self._on_signals()
        failed = await self._begin()
        if failed is None and not self._told.is_set():
            ready()
            tasks = [asyncio.create_task(self._keep(seat), name=seat.name) for seat in self._seats]
            tasks.append(asyncio.create_task(self._roll_when_told(), name="roll"))
            await self._told.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._end()
        return failed or 0

    async def _begin(self) -> int | None:
        """Start a child on every seat; the status of the first that does not get ready."""
        for seat in self._seats:
            seat.child = self._start(seat)
        everybody = list(self._everybody)
        settled = asyncio.gather(*(child.settled() for child in everybody))
        either: set[asyncio.Future[Any]] = {settled, asyncio.ensure_future(self._told.wait())}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for one in either:
            one.cancel()
        failed = [child for child in everybody if not child.ready.is_set()]
        return next((child.process.returncode or 1 for child in failed), None)

    async def _keep(self, seat: Seat) -> None:
        """Whenever the seat's child dies, start another, after a rest that grows."""
        while True:
            child = seat.child
            assert child is not None  # noqa: S101  # Seats are taken before they are kept.
            await child.ended.wait()
            if child is seat.child:
                await self._replace_dead(seat, child)

    async def _replace_dead(self, seat: Seat, dead: Child) -> None:
        code = dead.process.returncode
        log.error("process.child_died", seat=seat.name, pid=dead.process.pid, status=code)
        lived = asyncio.get_running_loop().time() - dead.began
        rest_s = FIRST_REST_S if lived > STEADY_S else seat.rest_s
        seat.rest_s = min(rest_s * 2, LONGEST_REST_S)
        await asyncio.sleep(rest_s)
        async with seat.taken:
            if seat.child is dead:
                seat.child = self._start(seat)

    async def _roll_when_told(self) -> None:
        while True:
            await self._roll.wait()
            self._roll.clear()
            log.info("process.roll_began", children=len(self._seats))
            for seat in self._seats:
                if not await self._replace(seat):
                    break  # What is wrong with this one is wrong with the next.
            else:
                log.info("process.roll_ended", children=len(self._seats))

    async def _replace(self, seat: Seat) -> bool:
        """Put a new child on the seat; once it is ready, the old one finishes what it holds.

        A new one that does not get ready changes nothing: whoever served goes on.
        """
        async with seat.taken:
            successor = self._start(seat)
            if not await successor.settled():
                log.error("process.roll_stopped", seat=seat.name, pid=successor.process.pid)
                await successor.end()
                return False
            before, seat.child = seat.child, successor
        if before is not None:
            await before.end()
        return True

    async def _end(self) -> None:
        # First: what comes now is refused at once, and does not wait for nobody.
        for bound in self._sockets.values():
            bound.close()
        await asyncio.gather(*(child.end() for child in self._everybody))

    def _start(self, seat: Seat) -> Child:
        names = (*seat.roles, METRICS)
        held = {name: self._sockets[name].fileno() for name in names if name in self._sockets}
        process = subprocess.Popen(
            child_command(seat.roles, held, self._counted),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=tuple(held.values()),
            # There is one thread here, so nothing can be locked between fork and exec.
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  # See above.
        )
        child = Child(process, asyncio.get_running_loop().time())
        self._everybody.add(child)
        log.info("process.child_started", seat=seat.name, pid=process.pid)
        return child

    def _look_at_all(self) -> None:
        for child in list(self._everybody):
            child.look()
            if child.ended.is_set():
                self._everybody.discard(child)
                with suppress(OSError):
                    fold(self._counted, child.process.pid)

    def _on_signals(self) -> None:
        running = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(name, self._told.set)
        running.add_signal_handler(signal.SIGHUP, self._roll.set)
        running.add_signal_handler(signal.SIGCHLD, self._look_at_all)


def seats(roles: Iterable[str], workers: int) -> list[Seat]:
    """``workers`` processes for each role that is scaled, and one for all others together."""
    wanted = sorted(roles)
    scaled = [
        Seat(f"{role}.{n}", (role,))
        for role in wanted
        if role in SCALED
        for n in range(1, workers + 1)
    ]
    rest = tuple(role for role in wanted if role not in SCALED)
    return [*scaled, Seat("others", rest)] if rest else scaled


def child_command(roles: Sequence[str], held: Mapping[str, int], counted: Path) -> list[str]:
    """How a child is started: this program as it lies on the disk now."""
    command = [sys.executable, "-P", "-c", _PROGRAM, "run", "--counted", str(counted)]
    for role in roles:
        command += ["--role", role]
    for role, number in held.items():
        command += ["--held", f"{role}={number}"]
    return command


async def run_many(
    settings: Settings,
    roles: frozenset[str],
    workers: int,
    ready: Ready,
    handed: Mapping[str, socket.socket],
) -> int:
    """Run ``workers`` processes of the roles that are scaled, one of the others; the exit status.

    Raises:
        OSError: a port is taken.
    """
    sockets = dict(handed)
    for role, address in addresses(settings, roles).items():
        if role not in sockets:
            sockets[role] = listen(*address)
            # From now on who comes waits, and is not refused, until the first child accepts.
            sockets[role].listen(BACKLOG)
    ports = {role: int(bound.getsockname()[1]) for role, bound in sockets.items()}
    with tempfile.TemporaryDirectory(prefix="orderkeep-counted-") as counted:
        parent = Parent(seats(roles, workers), sockets, Path(counted))
        return await parent.run(lambda: ready(ports))


def _die_with(parent: int) -> Callable[[], None]:
    def die_with() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before we asked.
            os._exit(0)

    return die_with
