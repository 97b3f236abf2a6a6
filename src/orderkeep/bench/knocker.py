"""Clients in a process of their own: each posts an order, reads the receipt, posts the next.

``python -m orderkeep.bench.knocker`` reads a ``Knocking`` on its input and prints what it measured.
The bytes of a request are made by replacing two names, so that little of the machine goes to us.
"""

import asyncio
import sys
from functools import partial
from itertools import count
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from orderkeep.bench.load import Sample, sample

_MARK = b"@@@@@@@@@@@@@@@@@@@@@@@@"
NAME_LENGTH = len(_MARK)
CREATED = b"HTTP/1.1 201 "
BUSY = b"HTTP/1.1 503 "
AGAIN_S = 1.0


class Knocking(msgspec.Struct, frozen=True):
    """What to do: ``per_s`` paces all clients together; without it each sends when answered."""

    port: int
    key: str
    body: str
    """An order whose ``client_ref`` is ``MARK``."""
    prefix: str
    """Makes the names of this process unlike those of every other."""
    clients: int
    seconds: float
    per_s: float | None = None
    bears_refusals: bool = False
    """Whether to come again when told to, instead of giving up; it counts from when it was due."""


MARK = _MARK.decode()


class Refused(Exception):
    """The server answered something other than 201, or hung up."""


class Crowd:
    """What all clients share."""

    def __init__(self, wanted: Knocking) -> None:
        body = wanted.body.encode()
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{wanted.port}\r\n"
            f"Authorization: Bearer {wanted.key}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {MARK}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._template = head.encode() + body
        self._names = count(1)
        self._prefix = wanted.prefix
        self.pause = wanted.clients / wanted.per_s if wanted.per_s else None
        self.took: list[float] = []
        self.ends = 0.0
        self.wrong: bytes | None = None
        self.bears_refusals = wanted.bears_refusals
        self.refused = 0

    def request(self) -> bytes:
        """The next order, unlike every other."""
        name = f"{self._prefix}{next(self._names):0{NAME_LENGTH - len(self._prefix)}d}"
        return self._template.replace(_MARK, name.encode())


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, crowd: Crowd, first_after_s: float) -> None:
        self._crowd = crowd
        self._due = first_after_s
        self._read = b""
        self._goes = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self, now: float) -> None:
        """Send the first order when it is due."""
        self._due += now
        self._later()

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not is_whole(self._read):
            return
        read, self._read = self._read, b""
        if read.startswith(BUSY) and self._crowd.bears_refusals:
            self._turned_away(perf_counter())
        else:
            self._answered(read, perf_counter())

    def _turned_away(self, now: float) -> None:
        self._crowd.refused += 1
        if now >= self._crowd.ends:
            self._leave()
        else:
            asyncio.get_running_loop().call_later(AGAIN_S, self._send)

    def _answered(self, read: bytes, now: float) -> None:
        if not read.startswith(CREATED):
            self._crowd.wrong = read
        self._crowd.took.append(now - self._due)
        if now >= self._crowd.ends or self._crowd.wrong is not None:
            self._leave()
        elif self._crowd.pause is None:
            self._due = now
            self._send()
        else:
            # Counted from when it was due: a slow answer must not hide behind a later question.
            self._due += self._crowd.pause
            self._later()

    def _leave(self) -> None:
        self._goes = True
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._goes and self._crowd.wrong is None:
            # Hung up on by the server: a client less, and the rate of the others would say nothing.
            self._crowd.wrong = self._read or f"a connection was lost: {exc}".encode()
        if not self.done.done():
            self.done.set_result(None)

    def _later(self) -> None:
        wait = self._due - perf_counter()
        if wait <= 0:
            self._send()
        else:
            asyncio.get_running_loop().call_later(wait, self._send)

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._crowd.request())


def is_whole(read: bytes) -> bool:
    """Whether an answer has come to its end."""
    head, found, body = read.partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


async def knock(wanted: Knocking) -> Sample:
    """Post orders for a while.

    Raises:
        Refused: an answer was no receipt, or a connection was lost before its time.
        NothingMeasured: no answer came.
    """
    crowd, loop = Crowd(wanted), asyncio.get_running_loop()
    pause = crowd.pause or 0.0
    clients = []
    for i in range(wanted.clients):
        enter = partial(Client, crowd, pause * i / wanted.clients)
        _, client = await loop.create_connection(enter, "127.0.0.1", wanted.port)
        clients.append(client)
    started = perf_counter()
    crowd.ends = started + wanted.seconds
    for client in clients:
        client.begin(started)
    await asyncio.gather(*(client.done for client in clients))
    if crowd.wrong is not None:
        raise Refused(crowd.wrong.decode("latin-1")[:500])
    measured = sample(crowd.took, perf_counter() - started)
    return msgspec.structs.replace(measured, refused=crowd.refused)


def main() -> None:
    """The process."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Knocking)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(knock(wanted))
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
