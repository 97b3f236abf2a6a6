"""Connections on which another process says no, while more comes than one event loop can refuse.

A refusal costs about as much as reading and writing a socket does, and on the loop that keeps
orders refusals eat what they should save. So connections are handed over, by their descriptors, to
a process that does nothing else (``shedder``): who was refused and, while turns stay long, some of
those who were just answered. As many come back as there is room for: whoever comes again when it
was told to, with what it said, and then the longest held. Each that goes or comes costs as much as
an order, so no others do. The process is started when it is first needed, holds no listening socket
and no secret, and ends with us.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from time import perf_counter
from typing import Final

import structlog

from orderkeep.http.admission import Admission, Kind, Why
from orderkeep.http.peers import Peers
from orderkeep.http.shedder import (
    ALL,
    ANSWER,
    BACK,
    COUNTED,
    HOLD,
    NAMED,
    READ_BYTES,
    REFUSED,
    RETURNED,
)

TICK_S: Final = 0.1
PATIENCE_S: Final = 3.0
"""Of one that was handed over: from then on it is served again when it asks and there is room."""
MOST: Final = 4096
"""Connections that are elsewhere; more are not handed over."""
REST_S: Final = 10.0
"""Between two starts."""
UNHEARD: Final = 4
"""Looks without a word from the process: it has too much to do itself, and is given no more."""
AT_A_TIME: Final = 64
"""Connections that come back in one turn of the loop: each costs as much as an order."""

log = structlog.get_logger()


class Shedding:
    """The process, and whom it holds for us; all on the event loop.

    Attributes:
        home: makes the protocol of a connection that comes back, from what it said meanwhile.
        served: those that are here.
    """

    def __init__(self, admission: Admission, answers: Sequence[tuple[float, bytes]]) -> None:
        self._admission = admission
        self._answers = answers
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._held: dict[int, tuple[Peers, str]] = {}
        self._names = 0
        self._surplus = self._unheard = 0
        self._started_at = float("-inf")
        self._ticking = self._leaving = False
        self._tasks: set[asyncio.Task[object]] = set()
        self.home: Callable[[bytes], asyncio.Protocol] | None = None
        self.served: Collection[object] = ()

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """More comes than is done: have the process ready, and see to who goes there."""
        if self._link is None and not self._leaving and loop.time() - self._started_at > REST_S:
            self._started_at = loop.time()
            self._start(loop)
        if self._link is not None and not self._ticking:
            self._ticking = True
            loop.call_later(TICK_S, self._tick, loop)

    def wants_one(self) -> bool:
        """Whether one who was just answered should go where no is said."""
        if self._surplus <= 0:
            return False
        self._surplus -= 1
        return True

    @property
    def is_ready(self) -> bool:
        """Whether connections may be handed over."""
        return self._admission.relieved and len(self._held) < MOST

    def take(self, number: int, peers: Peers, address: str, patience_s: float) -> bool:
        """Hand a connection over; whoever asks on it before ``patience_s`` is told no there.

        From now on the descriptor is the caller's to close. False if it could not be handed over.
        """
        if self._link is None or not self.is_ready:
            return False
        self._names += 1
        try:
            said = NAMED.pack(HOLD, self._names, patience_s)
            socket.send_fds(self._link, [said], [number])
        except OSError:
            return False  # It has enough to do.
        self._held[self._names] = peers, peers.arrived(address)
        return True

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have everybody back, since we leave; and let go of the process then."""
        self._leaving, self._admission.relieved = True, False
        if self._held:
            self._say(NAMED.pack(ALL, 0, 0.0))
        else:
            self.close(loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of the process; it ends with whoever it still holds."""
        if self._link is None or self._process is None:
            return
        loop.remove_reader(self._link.fileno())
        self._link.close()
        self._link, self._admission.relieved = None, False
        for peers, peer in self._held.values():
            peers.left(peer)
        self._held.clear()
        loop.run_in_executor(None, self._process.wait)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        module = "orderkeep.http.shedder"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in _NAMES if name in os.environ},
            )
        self._link = ours
        for after_s, answer in self._answers:
            self._say(NAMED.pack(ANSWER, 0, after_s) + answer)
        loop.add_reader(ours.fileno(), self._hear, loop)
        log.info("shedder.started", pid=self._process.pid)

    def _say(self, said: bytes) -> None:
        if self._link is not None:
            try:
                self._link.send(said)
            except OSError:
                return  # It is behind, or gone: the next look finds out.

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(AT_A_TIME):
            if self._link is None:
                return
            try:
                said, numbers, _, _ = socket.recv_fds(self._link, NAMED.size + READ_BYTES, 1)
            except BlockingIOError:
                return
            except OSError:
                said, numbers = b"", []
            if not said:
                log.warning("shedder.died", held=len(self._held))
                self.close(loop)
                return
            self._heard(loop, said, numbers)

    def _heard(self, loop: asyncio.AbstractEventLoop, said: bytes, numbers: Sequence[int]) -> None:
        if said[:1] == REFUSED:
            self._unheard, self._admission.relieved = 0, not self._leaving
            _, orders, others = COUNTED.unpack(said)
            self._admission.refuses(Kind.ORDER, Why.SHED, perf_counter(), orders)
            self._admission.refuses(Kind.OTHER, Why.SHED, perf_counter(), others)
            return
        name = NAMED.unpack_from(said)[1]
        if name in self._held:
            peers, peer = self._held.pop(name)
            peers.left(peer)
        if said[:1] == RETURNED and numbers and self.home is not None:
            back = socket.socket(fileno=numbers[0])
            protocol = self.home(said[NAMED.size :])
            task = loop.create_task(loop.connect_accepted_socket(lambda: protocol, back))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._leaving and not self._held:
            self.close(loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticking = False
        if self._link is None:
            return
        self._unheard += 1
        self._admission.relieved &= self._unheard < UNHEARD
        moves = self._admission.surplus(len(self.served), len(self._held), perf_counter())
        self._surplus = max(0, moves)
        self._say(NAMED.pack(BACK, max(0, -moves), 0.0))
        if self._held or self._admission.needs_relief:
            self._ticking = True
            loop.call_later(TICK_S, self._tick, loop)


_NAMES: Final = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG")
