"""The supervisor of the warm process: files go in, outcomes come out, deaths are survived.

The calling process never parses a file. It hands an open descriptor to the warm process, which
forks for each; a fork that dies is tried once more, then a person is asked. If the warm process
itself is killed, the next one is started and the jobs it held are tried again.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

import msgspec

from orderkeep.quoting.jobs import (
    MAX_MESSAGE_BYTES,
    Answer,
    Ask,
    Cancel,
    Died,
    Measured,
    Ready,
    Timeout,
    answers,
)
from orderkeep.quoting.measurement import Finding, Manual, Outcome
from orderkeep.quoting.ports import EngineUnavailable, ModelFile

ATTEMPTS: Final = 2
GRACE: Final = timedelta(seconds=10)
"""How long after a job's deadline the warm process may be silent before it is taken for dead."""
STARTS: Final = 3
START_DEADLINE: Final = timedelta(seconds=120)
"""Compiling every kernel for the first time on a slow machine; from the cache it is half one."""


class Workers:
    """An ``Engine`` that measures up to ``count`` files at once.

    Entering returns at once; the warm process gets ready beside. Leaving kills what still runs.
    """

    def __init__(self, count: int = 1) -> None:
        self._room = asyncio.Semaphore(count)
        self._warm: _Warm | None = None

    async def __aenter__(self) -> Self:
        self._process()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._warm is not None:
            self._warm.stop()
            self._warm = None

    @property
    def pid(self) -> int | None:
        """The warm process, for whoever watches it."""
        return self._warm.pid if self._warm is not None else None

    async def ready(self) -> None:
        """Wait until files are measured without delay.

        Raises:
            EngineUnavailable: the warm process does not start.
        """
        for _ in range(STARTS):
            process = self._process()
            if await process.ready():
                return
            process.stop()
        raise EngineUnavailable("The measuring process does not start.")

    async def measure(self, file: ModelFile, deadline: timedelta) -> Outcome:
        """Measure one file; see ``Engine``. Waiting for a free place does not count."""
        async with self._room:
            with _opened(file.source) as fd:
                return await self._measure(fd, file.unit, deadline)

    async def _measure(self, fd: int, unit: str, deadline: timedelta) -> Outcome:
        died = Died(0, "killed")
        for _ in range(ATTEMPTS):
            await self.ready()
            answer = await self._process().ask(fd, unit, deadline)
            if isinstance(answer, Measured):
                return _with_memory(answer)
            if isinstance(answer, Timeout):
                return _by_hand("timeout", "Measuring took longer than allowed.")
            if isinstance(answer, Died):
                died = answer
        return _by_hand(died.code, "Measuring this file killed the measuring process twice.")

    def _process(self) -> "_Warm":
        if self._warm is None or self._warm.gone:
            self._warm = _Warm()
        return self._warm


class _Warm:
    """One warm process and what it was asked."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._control.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._jobs = 0
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self.gone = False
        with theirs:
            self._process = _start(theirs)
        self._loop.add_reader(self._control, self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> bool:
        """Wait for it to be warm; False if it died first or took too long."""
        try:
            async with asyncio.timeout(START_DEADLINE.total_seconds()):
                return bool(await asyncio.shield(self._ready))
        except TimeoutError:
            return False

    async def ask(self, fd: int, unit: str, deadline: timedelta) -> Answer:
        """Have a file measured; the death of the whole process counts as the job's."""
        self._jobs += 1
        job = self._jobs
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[job] = answer
        try:
            self._send(Ask(job, unit, deadline.total_seconds()), fd)
            # It ends late jobs itself, unless it is stopped: then nobody else would.
            async with asyncio.timeout((deadline + GRACE).total_seconds()):
                return await answer
        except TimeoutError:
            self.stop()
            return Died(job, "killed")
        except asyncio.CancelledError:
            self._send(Cancel(job))
            raise
        finally:
            del self._waiting[job]

    def stop(self) -> None:
        """Kill it with everything it forked, and reap it; whoever waits learns it now."""
        if self.gone:
            return
        self.gone = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self._process.kill()  # Its forks die with it.
        self._process.wait()
        if not self._ready.done():
            self._ready.set_result(False)
        for job, waiting in self._waiting.items():
            if not waiting.done():
                waiting.set_result(Died(job, "killed"))

    def _send(self, message: Ask | Cancel, *fds: int) -> None:
        # A handful of short messages always fits; an error means that it has died.
        try:
            socket.send_fds(self._control, [msgspec.json.encode(message)], list(fds))
        except OSError:
            self.stop()

    def _hear(self) -> None:
        try:
            message = self._control.recv(MAX_MESSAGE_BYTES + 1024)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._read(answers.decode(message))
        else:
            self.stop()

    def _read(self, message: Answer | Ready) -> None:
        if isinstance(message, Ready):
            if not self._ready.done():
                self._ready.set_result(True)
            return
        waiting = self._waiting.get(message.job)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


def _start(control: socket.socket) -> subprocess.Popen[bytes]:
    """Start the warm process fresh, not as a fork: it inherits no lock, secret or socket."""
    command = [sys.executable, "-P", "-m", "orderkeep.quoting.worker"]
    return subprocess.Popen(
        [*command, str(control.fileno()), str(os.getpid())],
        pass_fds=(control.fileno(),),
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _environment() -> dict[str, str]:
    """No secrets, one thread for each library: a fork keeps only the thread that forked."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "NUMBA_CACHE_DIR": str(_cache_folder()),
        "NUMBA_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _cache_folder() -> Path:
    """Where compiled kernels are kept: ours alone, as whoever writes there runs code as us."""
    configured = os.environ.get("NUMBA_CACHE_DIR")
    if configured:
        return Path(configured)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = cache / "orderkeep" / "kernels"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
        return folder
    return Path(tempfile.mkdtemp(prefix="orderkeep-kernels-"))


@contextmanager
def _opened(source: Path | int) -> Iterator[int]:
    if isinstance(source, int):
        yield source
        return
    # A pipe in place of a file must not hold us up.
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def _with_memory(answer: Measured) -> Outcome:
    outcome = answer.outcome
    if isinstance(outcome, Manual):
        if outcome.measured is None:
            return outcome
        measured = msgspec.structs.replace(outcome.measured, peak_rss_mib=answer.peak_rss_mib)
        return msgspec.structs.replace(outcome, measured=measured)
    return msgspec.structs.replace(outcome, peak_rss_mib=answer.peak_rss_mib)


def _by_hand(code: str, message: str) -> Manual:
    return Manual((Finding(code, message),))
