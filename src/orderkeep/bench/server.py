"""The product in a process of its own, on ports of its own, for a benchmark."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from orderkeep.bench.places import Place

START_S = 60.0
DRAIN_S = 30.0
_COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")


class ServerDied(Exception):
    """The server under test did not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its ports by role."""

    pid: int
    ports: dict[str, int]

    def cpu_s(self) -> float:
        """CPU it has used so far, user and system, in seconds; 0 where nobody counts."""
        try:
            after_name = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2]
        except OSError:
            return 0.0
        user, system = after_name.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def waited_s(self) -> float:
        """How long its event loop had to wait for a processor so far; 0 where nobody counts."""
        try:
            counted = Path(f"/proc/{self.pid}/schedstat").read_text("ascii")
        except OSError:
            return 0.0
        return int(counted.split()[1]) / 1e9


@asynccontextmanager
async def serving(
    place: Place, roles: Sequence[str] = (), settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Server]:
    """`orderkeep run` on a database, with the given roles or with all of them."""
    process = await _start(place, roles, settings)
    try:
        async with asyncio.timeout(START_S):
            ports = await _ports(process)
        yield Server(process.pid, ports)
    finally:
        await _stop(process)


async def _start(place: Place, roles: Sequence[str], given: Mapping[str, str]) -> Process:
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
    settings = {
        "ORDERKEEP_DATABASE_URL": place.url,
        "ORDERKEEP_FILES_URL": f"file://{place.folder.absolute() / 'files'}",
        "ORDERKEEP_HOST": "127.0.0.1",
        "ORDERKEEP_LOG_LEVEL": "error",
    }
    chosen = [word for role in roles for word in ("--role", role)]
    return await asyncio.create_subprocess_exec(
        *_COMMAND,
        *("run", "--port", "0", "--office-port", "0", *chosen),
        env={**ours, **settings, **given},
        cwd=place.folder,
        stdout=PIPE,
    )


async def _ports(process: Process) -> dict[str, int]:
    ports: dict[str, int] = {}
    while process.stdout and (line := await process.stdout.readline()):
        words = line.decode().split()
        if words[1:4] == ["ready", "on", "port"]:
            ports[words[0]] = int(words[4])
        elif words == ["orderkeep", "is", "ready"]:
            return ports
    raise ServerDied("The server under test stopped before it was ready; it has said why.")


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(DRAIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
