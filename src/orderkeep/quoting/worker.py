"""The warm process that measures: it imports and compiles once, then forks for every file.

Started by ``Workers`` as ``python -m orderkeep.quoting.worker`` with one end of a socket pair,
never by hand. The fork that opens a file may be killed by it; the process that forked it only
waits. When the other end of the socket closes, everything here dies.
"""

import ctypes
import gc
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NoReturn

import msgspec
import numpy as np

from orderkeep.quoting import kernels
from orderkeep.quoting.jobs import (
    MAX_MESSAGE_BYTES,
    Ask,
    Cancelled,
    Died,
    Measured,
    Ready,
    Timeout,
    asks,
)
from orderkeep.quoting.measure import measure
from orderkeep.quoting.measurement import Finding, Manual, Outcome

ADDRESS_SPACE_BYTES: Final = 1536 * 1024 * 1024
OPEN_FILES: Final = 16

_PR_SET_PDEATHSIG: Final = 1
_CUBE: Final = (
    "solid cube\n"
    + "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {c >> 2 & 1}0 {c >> 1 & 1}0 {c & 1}0\n" for c in corners)
        + "endloop\nendfacet\n"
        for corners in (
            (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3), (0, 4, 5), (0, 5, 1),
            (2, 3, 7), (2, 7, 6), (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5),
        )
    )
    + "endsolid\n"
)  # fmt: skip


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until it closes."""
    _die_with_parent(int(sys.argv[2]))
    # Whoever started us decides when work ends; a Ctrl-C at the terminal reaches us as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    _warm_up()
    control.send(msgspec.json.encode(Ready()))
    _Parent(control).serve()


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before we asked.
        os._exit(0)


def _warm_up() -> None:
    """Measure a cube, whole, cracked and open, so that every kernel is compiled before a fork."""
    cracked = _CUBE.replace("vertex 10 10 10\n", "vertex 10 10 10.000001\n", 1)
    for text in (_CUBE, cracked, _CUBE.replace("10", "11", 1)):
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            measure(file.fileno(), "mm", os.urandom(32))
    # Not by a union: manifold3d would start threads here that no fork gets.
    kernels.name_corners(*(np.zeros(size, np.uint64) for size in ((1, 3), 4, 1)))
    gc.freeze()  # The forks share our pages as long as nobody counts references in them.


@dataclass
class _Child:
    ask: Ask
    pid: int
    deadline: float
    answer: bytearray = field(default_factory=bytearray)


class _Parent:
    """Forks, waits, kills and reaps."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._children: dict[int, _Child] = {}  # by the descriptor of the pipe they answer on

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._control:
                    self._take()
                else:
                    self._hear(key.fd)
            self._end_late_ones()

    def _patience(self) -> float | None:
        ends = [child.deadline for child in self._children.values()]
        return max(0.0, min(ends) - monotonic()) if ends else None

    def _take(self) -> None:
        message, fds, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, 1)
        if not message:  # The other end is gone.
            self._leave()
        ask = asks.decode(message)
        if isinstance(ask, Ask):
            self._fork(ask, fds[0])
            os.close(fds[0])
        else:
            self._cancel(ask.job)

    def _fork(self, ask: Ask, file: int) -> None:
        hear, tell = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _run_job(ask, file, tell, parent)
        os.close(tell)
        os.set_blocking(hear, False)
        self._children[hear] = _Child(ask, pid, monotonic() + ask.seconds)
        self._selector.register(hear, selectors.EVENT_READ)

    def _hear(self, pipe: int) -> None:
        if pipe not in self._children:
            return
        child = self._children[pipe]
        with suppress(BlockingIOError):
            part = os.read(pipe, MAX_MESSAGE_BYTES)
            child.answer += part
            if not part:
                self._bury(pipe, None)
            elif len(child.answer) > MAX_MESSAGE_BYTES:
                self._bury(pipe, Died(child.ask.job, "resource_limit"))

    def _end_late_ones(self) -> None:
        now = monotonic()
        late = [pipe for pipe, child in self._children.items() if child.deadline <= now]
        for pipe in late:
            self._bury(pipe, Timeout(self._children[pipe].ask.job))

    def _cancel(self, job: int) -> None:
        cancelled = [pipe for pipe, child in self._children.items() if child.ask.job == job]
        for pipe in cancelled:
            self._bury(pipe, Cancelled(job))

    def _bury(self, pipe: int, verdict: Timeout | Cancelled | Died | None) -> None:
        """End a child that has answered, or that we stop, and say what became of it."""
        child = self._children.pop(pipe)
        self._selector.unregister(pipe)
        os.close(pipe)
        os.kill(child.pid, signal.SIGKILL)  # Not reaped yet, so the number is still its own.
        _, status, usage = os.wait4(child.pid, 0)
        answer = verdict or _read_answer(child, status, usage.ru_maxrss / 1024)
        with suppress(OSError):  # Nobody hears it; the next look at the socket ends us.
            self._control.send(msgspec.json.encode(answer))

    def _leave(self) -> NoReturn:
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
        os._exit(0)


def _read_answer(child: _Child, status: int, peak_rss_mib: float) -> Measured | Died:
    try:
        outcome = msgspec.json.decode(child.answer, type=Outcome)
    except msgspec.DecodeError:
        over = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
        return Died(child.ask.job, "resource_limit" if over else "killed")
    return Measured(child.ask.job, outcome, round(peak_rss_mib, 1))


def _run_job(ask: Ask, file: int, tell: int, parent: int) -> NoReturn:
    """Measure in a process that owns nothing but the file and the pipe."""
    try:
        _die_with_parent(parent)
        file, tell = _keep_only(file, tell)
        _limit(ask.seconds)
        answer = msgspec.json.encode(_measure(file, ask.unit))
        while answer:
            answer = answer[os.write(tell, answer) :]
    except Exception:  # noqa: BLE001  # The top of a process: whatever it was, say it.
        traceback.print_exc()  # A fault of ours; the supervisor hears a death.
        sys.stderr.flush()
    finally:
        os._exit(0)


def _measure(file: int, unit: str) -> Outcome:
    try:
        return measure(file, unit, os.urandom(32))
    except MemoryError:
        return Manual((Finding("resource_limit", "Measuring needs more memory than allowed."),))


def _keep_only(file: int, tell: int) -> tuple[int, int]:
    """Close everything but the two; nothing of the parent's can be reached from here."""
    os.dup2(file, 100)
    os.dup2(tell, 101)
    os.closerange(3, 100)
    os.closerange(102, 4096)
    os.dup2(100, 3)
    os.dup2(101, 4)
    os.closerange(100, 102)
    return 3, 4


def _limit(seconds: float) -> None:
    _lower(resource.RLIMIT_AS, ADDRESS_SPACE_BYTES)
    # The parent kills on time; this holds should it be stopped itself.
    _lower(resource.RLIMIT_CPU, int(seconds) + 2)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
