"""How clients leave orders at every pipeline alike: one line asks, one line answers.

HTTP would cost the same for all and hide what is compared. Standard library only.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from json import dumps, loads
from typing import Self, cast

Accept = Callable[[str], Awaitable[str]]
"""Keeps an order under the client's number; returns what the MES will call it."""

FAILED = "!"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a half of a pipeline has to know."""

    port: int
    """Where clients come."""
    orders: str
    """The database of the pipeline."""
    mes: str
    """The MES's database."""
    amqp: str
    far_port: int = 0
    """Where the MES speaks HTTP, if somebody wants it."""
    broken: str = ""
    """How the pipeline is to be worse than it could be."""
    work_ms: float = 0.0
    """How long the MES works on an order."""
    at_once: int = 8
    """How many it works on at once."""

    def said(self) -> str:
        """As an argument."""
        return dumps(asdict(self))

    @classmethod
    def read(cls, said: str) -> Self:
        """From an argument."""
        return cls(**loads(said))


def told() -> tuple[str, Setup]:
    """Which half this process is to be, and what it has to know."""
    return sys.argv[1], Setup.read(sys.argv[2])


class OneClient(asyncio.Protocol):
    """Where one client stands: a line is answered before the next one comes.

    Bare, since whatever clients cost here is taken from every pipeline, and most from the quickest.
    """

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._read = b""
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        ref, ended, rest = self._read.partition(b"\n")
        if ended:
            self._read = rest
            self._answering = asyncio.create_task(self._answer(ref.decode()))

    async def _answer(self, ref: str) -> None:
        answer = await _answer(self._accept, ref)
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, accept: Accept) -> None:
    """Answer clients until SIGTERM; whatever fails is said to whoever waits for it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: OneClient(accept), "127.0.0.1", port)
    await until_stopped()
    server.close()


async def _answer(accept: Accept, ref: str) -> bytes:
    try:
        return f"{await accept(ref)}\n".encode()
    except Exception as failure:  # noqa: BLE001  # The client is told, whatever it was.
        return f"{FAILED}{type(failure).__name__}\n".encode()


async def until_stopped() -> None:
    """Say that we are ready, and return at SIGTERM."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    print("ready", flush=True)
    await stop.wait()
