"""Operators in a process of their own: each holds the live stream and looks through lists.

``python -m orderkeep.bench.operators`` reads a ``Watching`` on its input, says ``open`` when every
board is open, and prints what it saw when its input ends.
"""

import asyncio
import sys
from collections.abc import Sequence
from random import Random
from time import perf_counter

import msgspec
import uvloop

from orderkeep.bench.load import Sample, sample

LISTS = (
    "",
    "?stage=MANUFACTURING_APPROVED",
    "?claim=free",
    "?stage=PRICE_CALCULATED,SUBMITTED",
    "?risk=late",
    "?claim=mine",
    "?sort=due",
)
"""What operators look at: mostly the first, the others now and then."""

_FIRST_LIST_SHARE = 0.5


class Watching(msgspec.Struct, frozen=True):
    """Who watches, and how restlessly."""

    port: int
    tokens: list[str]
    """One session for each operator."""
    think_s: float
    """Between two lists of one operator."""
    counts_s: float
    seed: int


class Seen(msgspec.Struct, frozen=True):
    """What all of them saw."""

    lists: Sample
    counts: Sample
    stream_bytes: int
    streams_lost: int


class Floor:
    """What all operators share."""

    def __init__(self, wanted: Watching) -> None:
        self.wanted = wanted
        self.chance = Random(wanted.seed)
        self.lists: list[float] = []
        self.counts: list[float] = []
        self.stream_bytes = 0
        self.streams_lost = 0

    async def operator(self, token: str, opened: asyncio.Event) -> None:
        """One operator until cancelled."""
        stream = asyncio.create_task(self._watch(token))
        try:
            line = await asyncio.open_connection("127.0.0.1", self.wanted.port)
            await self._ask(line, token, "/board", self.lists)
            await self._ask(line, token, "/board/counts", self.counts)
            opened.set()
            await self._browse(line, token)
        finally:
            stream.cancel()

    async def _browse(self, line: "_Line", token: str) -> None:
        # Begun at any moment of the pause: operators do not breathe in step.
        counted = perf_counter() - self.chance.uniform(0, self.wanted.counts_s)
        await asyncio.sleep(self.chance.uniform(0, self.wanted.think_s))
        while True:
            await self._ask(line, token, "/board" + self._list(), self.lists)
            if perf_counter() - counted >= self.wanted.counts_s:
                counted = perf_counter()
                await self._ask(line, token, "/board/counts", self.counts)
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.wanted.think_s)

    def _list(self) -> str:
        first = self.chance.random() < _FIRST_LIST_SHARE
        return LISTS[0] if first else self.chance.choice(LISTS[1:])

    async def _ask(self, line: "_Line", token: str, path: str, took: list[float]) -> None:
        reader, writer = line
        started = perf_counter()
        writer.write(_request(self.wanted.port, token, path))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{path}: {head[:80]!r}")
        length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append(perf_counter() - started)

    async def _watch(self, token: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.wanted.port)
        writer.write(_request(self.wanted.port, token, "/board/stream"))
        while chunk := await reader.read(64 * 1024):
            self.stream_bytes += len(chunk)
        self.streams_lost += 1

    def seen(self, elapsed: float) -> Seen:
        """Everything so far."""
        lists, counts = sample(self.lists, elapsed), sample(self.counts, elapsed)
        return Seen(lists, counts, self.stream_bytes, self.streams_lost)


_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _request(port: int, token: str, path: str) -> bytes:
    return (
        f"GET /office/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Cookie: orderkeep_session={token}\r\n\r\n"
    ).encode()


async def watch(wanted: Watching) -> Seen:
    """Let every operator browse until our input ends."""
    floor, started = Floor(wanted), perf_counter()
    opened = [asyncio.Event() for _ in wanted.tokens]
    async with asyncio.TaskGroup() as group:
        pairs = zip(wanted.tokens, opened, strict=True)
        people = [group.create_task(floor.operator(*pair)) for pair in pairs]
        await asyncio.gather(*(event.wait() for event in opened))
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.buffer.read)
        seen = floor.seen(perf_counter() - started)
        _send_home(people)
    return seen


def _send_home(people: Sequence["asyncio.Task[None]"]) -> None:
    for person in people:
        person.cancel()


def main() -> None:
    """The process."""
    wanted = msgspec.json.decode(sys.stdin.buffer.readline(), type=Watching)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(watch(wanted))
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
