"""An open model in a process of its own: requests come when they come, whatever became of others.

``python -m orderkeep.bench.arrivals`` reads ``Arriving`` on its input and prints ``Arrived``. What
a request took is counted from when it was due, so that a server that stands still is not flattered
by requests that could not be sent meanwhile.
"""

import asyncio
import sys
from collections import Counter, deque
from contextlib import suppress
from math import ceil, log
from random import Random
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from orderkeep.bench.knocker import BUSY, CREATED, Crowd, Knocking, is_whole
from orderkeep.bench.load import allow_many_files

TICK_S = 0.002
_STEP = log(1.02)
SHOWN = b"HTTP/1.1 200 "
PATIENCE_S = 5.0
"""After the last arrival: how long answers are waited for."""


class Times(msgspec.Struct):
    """A histogram of durations whose bounds are 2 % apart."""

    counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Another one."""
        place = ceil(log(max(seconds, 1e-6)) / _STEP)
        self.counts[place] = self.counts.get(place, 0) + 1

    def join(self, other: "Times") -> None:
        """All of another's."""
        for place, count in other.counts.items():
            self.counts[place] = self.counts.get(place, 0) + count

    @property
    def many(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def below_ms(self, share: float) -> float | None:
        """What a share of them does not exceed; None of nothing."""
        left = self.many * share
        for place in sorted(self.counts):
            left -= self.counts[place]
            if left <= 0:
                return round(1000 * float(1.02**place), 3)
        return None


class Arriving(msgspec.Struct, frozen=True):
    """What to do: every ``reads``-th request asks for a list, the others bring an order."""

    knocking: Knocking
    per_s: float
    reads: int
    seed: int


class Arrived(msgspec.Struct):
    """What became of them; ``unanswered`` had no answer ``PATIENCE_S`` after the last arrival."""

    admitted: Times = msgspec.field(default_factory=Times)
    refused: Times = msgspec.field(default_factory=Times)
    reads: int = 0
    reads_refused: int = 0
    unanswered: int = 0
    wrong: dict[str, int] = {}
    late: Times = msgspec.field(default_factory=Times)
    """How late this process itself was: where it is, the figures say nothing of the server."""

    def join(self, other: "Arrived") -> None:
        """All of another's."""
        self.admitted.join(other.admitted)
        self.refused.join(other.refused)
        self.reads += other.reads
        self.reads_refused += other.reads_refused
        self.unanswered += other.unanswered
        self.late.join(other.late)
        self.wrong = dict(Counter(self.wrong) + Counter(other.wrong))


class Street:
    """Everybody who comes, and the connections they find idle."""

    def __init__(self, wanted: Arriving) -> None:
        self._wanted = wanted
        self._crowd = Crowd(wanted.knocking)
        head = f"GET /v1/orders?limit=1 HTTP/1.1\r\nHost: 127.0.0.1:{wanted.knocking.port}\r\n"
        self._list = f"{head}Authorization: Bearer {wanted.knocking.key}\r\n\r\n".encode()
        self._dice = Random(wanted.seed)
        self._due: deque[tuple[float, bool]] = deque()
        self._came = 0
        self.idle: deque[Caller] = deque()
        self.out: set[Caller] = set()
        self.arrived = Arrived()
        self._empty = asyncio.Event()
        self._last = False

    async def walk(self) -> Arrived:
        """Let them come for as long as it was wanted."""
        loop, knocking = asyncio.get_running_loop(), self._wanted.knocking
        for _ in range(knocking.clients):
            await loop.create_connection(lambda: Caller(self), "127.0.0.1", knocking.port)
        next_at = ticked = perf_counter()
        ends = next_at + knocking.seconds
        while ticked < ends:
            await asyncio.sleep(TICK_S)
            now = perf_counter()
            self.arrived.late.add(now - ticked)
            ticked = now
            # To the end: whoever was due while this process stood still comes late, and comes.
            while next_at <= min(now, ends):
                self._came += 1
                self._due.append((next_at, self._came % self._wanted.reads == 0))
                next_at += self._dice.expovariate(self._wanted.per_s)
            self.send()
        self._last = True
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._empty.wait()
        self.arrived.unanswered += len(self._due) + len(self.out)
        return self.arrived

    def send(self) -> None:
        """Send what is due on connections that nobody uses."""
        while self._due and self.idle:
            due, reads = self._due.popleft()
            caller = self.idle.popleft()
            self.out.add(caller)
            caller.ask(due, self._list if reads else self._crowd.request(), reads=reads)

    def answered(self, caller: "Caller", read: bytes) -> None:
        """Count an answer."""
        took = perf_counter() - caller.due
        self.out.discard(caller)
        refused = read.startswith(BUSY)
        if not refused and not read.startswith(SHOWN if caller.reads else CREATED):
            self._miss(read[9:12].decode("latin-1"))
        elif caller.reads:
            self.arrived.reads += 1
            self.arrived.reads_refused += refused
        else:
            (self.arrived.refused if refused else self.arrived.admitted).add(took)
        if self._last:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._rest)

    def _rest(self) -> None:
        self.send()
        if not (self.out or self._due):
            self._empty.set()

    def lost(self, caller: "Caller") -> None:
        """A connection has ended; another takes its place."""
        if caller in self.out:
            self.out.discard(caller)
            self._miss("hung up")
        elif caller in self.idle:
            self.idle.remove(caller)
        loop = asyncio.get_running_loop()
        again = loop.create_connection(
            lambda: Caller(self), "127.0.0.1", self._wanted.knocking.port
        )
        task = loop.create_task(again)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _miss(self, what: str) -> None:
        self.arrived.wrong[what] = self.arrived.wrong.get(what, 0) + 1


class Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._read = b""
        self.due = 0.0
        self.reads = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._street.idle.append(self)

    def ask(self, due: float, request: bytes, *, reads: bool) -> None:
        """Send a request that was due then."""
        self.due, self.reads = due, reads
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not is_whole(self._read):
            return
        read, self._read = self._read, b""
        self._street.answered(self, read)
        if b"\r\nconnection: close\r\n" in read:
            self._transport.close()
        else:
            self._street.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._street.lost(self)


def main() -> None:
    """The process."""
    allow_many_files()
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Arriving)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        arrived = runner.run(Street(wanted).walk())
    sys.stdout.buffer.write(msgspec.json.encode(arrived))


if __name__ == "__main__":
    main()
