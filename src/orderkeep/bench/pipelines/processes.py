"""Starting, killing and asking the processes of a pipeline, and clients who leave orders there."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, time
from typing import Self, cast

import orderkeep
from orderkeep.bench.pipelines.lines import FAILED, Setup

READY_S = 60.0
STOP_S = 15.0
ANSWER_S = 30.0
_SOURCES = str(Path(orderkeep.__file__).parent.parent)


class PeerMissing(Exception):
    """A pipeline did not come up; the message says why."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How a pipeline is started: its module, the Python that holds it, and its halves."""

    name: str
    module: str
    halves: Sequence[str] = ("api", "consumer")
    broken: str = ""
    python: str = sys.executable
    sqlite: bool = False
    broker: bool = True
    prepared: bool = False
    """Whether it has tables of its own to make."""
    ours: bool = False
    prepares_itself: bool = False
    """Whether it makes its tables when it starts."""


@dataclass(slots=True)
class Half:
    """One process of a pipeline."""

    pipeline: Pipeline
    name: str
    setup: Setup
    process: Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready.

        Raises:
            PeerMissing: it does not.
        """
        if shutil.which(self.pipeline.python) is None:
            raise PeerMissing(f"there is no {self.pipeline.python}: scripts/setup peers makes it")
        self.process = await asyncio.create_subprocess_exec(
            self.pipeline.python,
            *("-m", f"orderkeep.bench.pipelines.{self.pipeline.module}"),
            *(self.name, self.setup.said()),
            env={**_without_ours(os.environ), "PYTHONPATH": _SOURCES},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Forks are killed with whoever forked them.
        )
        try:
            async with asyncio.timeout(READY_S):
                await self._is_ready(self.process)
        except TimeoutError as late:
            await self.kill()
            raise PeerMissing(f"{self.name} was not ready within {READY_S:.0f} s") from late

    async def _is_ready(self, process: Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise PeerMissing("it has no output")
        while line := await process.stdout.readline():
            if line.strip() == b"ready":
                self._drains = asyncio.create_task(_drain(process))
                return
        said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
        raise PeerMissing(said[-1] if said else f"{self.name} stopped")

    async def run_once(self) -> None:
        """Run it to its end.

        Raises:
            PeerMissing: it fails.
        """
        try:
            await self.start()
        except PeerMissing:
            # It has ended without being ready, as it is to; how it ended says the rest.
            if self.process is None or await self.process.wait() != 0:
                raise
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """Kill -9, with all its children."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and -9 to whoever takes too long."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    async def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        await self.process.wait()

    _drains: "asyncio.Task[None] | None" = None


async def _drain(process: Process) -> None:
    """Whoever writes more than a pipe holds would stand still."""
    streams = [one for one in (process.stdout, process.stderr) if one is not None]
    await asyncio.gather(*(one.read() for one in streams))


def _without_ours(given: "os._Environ[str]") -> dict[str, str]:
    return {name: value for name, value in given.items() if not name.startswith("ORDERKEEP_")}


@dataclass(slots=True)
class Left:
    """What became of one order that a client left."""

    at: float
    """When it was left, as the MES's clock has it."""
    took_s: float
    name: str | None
    """What the MES calls it; None where the client was shown an error."""


class Asking(asyncio.Protocol):
    """A client's connection: one line asks, one line answers."""

    def __init__(self) -> None:
        self._read = b""
        self._answer: asyncio.Future[str] | None = None
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, line: str) -> str:
        """What is answered.

        Raises:
            EOFError: the connection has ended.
        """
        if self._gone:
            raise EOFError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"{line}\n".encode())
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._read += data
        answer, ended, rest = self._read.partition(b"\n")
        if ended and self._answer is not None and not self._answer.done():
            self._read = rest
            self._answer.set_result(answer.decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or EOFError())

    def close(self) -> None:
        """Leave."""
        self._transport.close()


@dataclass(slots=True)
class Clients:
    """Connections to a pipeline, each for one order at a time."""

    port: int
    left: list[Left] = field(default_factory=list)
    under_way: int = 0
    """Orders left and not answered yet."""
    _free: list[Asking] = field(default_factory=list)

    async def leave(self, ref: str) -> None:
        """Leave one order; a lost connection is an error to the client, and not tried again."""
        at, began = time(), perf_counter()
        name: str | None = None
        self.under_way += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                name = await self._ask(ref)
        except (OSError, EOFError, TimeoutError):
            name = None
        finally:
            self.under_way -= 1
        self.left.append(Left(at, perf_counter() - began, name))

    async def _ask(self, ref: str) -> str | None:
        asking = self._free.pop() if self._free else await self._open()
        try:
            said = await asking.ask(ref)
        except BaseException:
            asking.close()
            raise
        self._free.append(asking)
        return None if said.startswith(FAILED) else said

    async def _open(self) -> Asking:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Asking, "127.0.0.1", self.port))[1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_why: object) -> None:
        for asking in self._free:
            asking.close()


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
