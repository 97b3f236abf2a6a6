"""A practice far side on a loopback socket: HTTP/1.1 by hand, because it has to be broken by hand.

A web framework would not let us reset a connection, stop inside a body or answer noise.
"""

import asyncio
import contextlib
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from orderkeep.practice.far_side import FarSide
from orderkeep.practice.mes_calls import Request
from orderkeep.practice.mes_faults import Answer, Manner
from orderkeep.practice.mes_journal import Journal, JournalFailed

REQUEST_CAP_BYTES = 2 << 20
IDLE_SECONDS = 60.0
_READ_SIZE = 64 << 10


def run_far_side(
    port: int, journal: Path, build: Callable[[Journal], FarSide], announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; ``announce`` gets the address once it is listening.

    Raises:
        JournalInUse: another process writes this journal.
        JournalFailed: the disk under the journal failed; nothing more was answered.
        OSError: the port is taken.
    """
    kept = Journal(journal)
    try:
        asyncio.run(_serve(port, build(kept), announce))
    finally:
        kept.close()


async def _serve(port: int, far: FarSide, announce: Callable[[str], None]) -> None:
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _end, stop)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Connection(far, reader, writer, stop).run()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    autopilot = asyncio.create_task(_autopilot(far, stop))
    announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        await stop
    finally:
        server.close()
        autopilot.cancel()


def _end(stop: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if stop.done():
        return
    if error is None:
        stop.set_result(None)
    else:
        stop.set_exception(error)


async def _autopilot(far: FarSide, stop: "asyncio.Future[None]") -> None:
    try:
        await far.run_autopilot()
    except JournalFailed as error:
        _end(stop, error)


class _Connection:
    """One client's connection: reads requests in turn and answers each, well or badly."""

    def __init__(
        self,
        far: FarSide,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stop: "asyncio.Future[None]",
    ) -> None:
        self._far = far
        self._reader = reader
        self._writer = writer
        self._stop = stop
        self._inbound = _Inbound()

    async def run(self) -> None:
        try:
            await self._serve_requests()
        except JournalFailed as error:
            _end(self._stop, error)
        except (OSError, TimeoutError, httptools.HttpParserError):
            pass  # The client left or speaks no HTTP; what it caused is in the journal.
        finally:
            self._writer.close()

    async def _serve_requests(self) -> None:
        while (request := await self._next_request()) is not None:
            async with self._far.serving(request) as answer:
                await self._deliver(answer)
            if answer.manner is not Manner.WHOLE:
                return

    async def _next_request(self) -> Request | None:
        """The next whole request, or None when the client has no more or sends too much."""
        while not self._inbound.requests:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await self._reader.read(_READ_SIZE)
            if not data or not self._inbound.feed(data):
                return None
        return self._inbound.requests.popleft()

    async def _deliver(self, answer: Answer) -> None:
        match answer.manner:
            case Manner.WHOLE:
                self._writer.write(_head(answer) + answer.body)
            case Manner.TRUNCATED:
                self._writer.write(_head(answer) + answer.body[: len(answer.body) // 2])
            case Manner.GARBAGE:
                self._writer.write(answer.body)
            case Manner.HANG:
                await self._wait_until_client_leaves()
            case Manner.RESET:
                self._reset()
        await self._writer.drain()

    async def _wait_until_client_leaves(self) -> None:
        with contextlib.suppress(OSError):
            while await self._reader.read(_READ_SIZE):
                pass

    def _reset(self) -> None:
        """Close with no time to linger: the kernel then sends RST instead of FIN."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class _Inbound:
    """Collects what httptools reads from the bytes; its callbacks have the parser's names."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._size = 0
        self.on_message_begin()

    def feed(self, data: bytes) -> bool:
        """Read more bytes; False when a request has grown past the cap."""
        self._size += len(data)
        self._parser.feed_data(data)
        return self._size <= REQUEST_CAP_BYTES

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        url = urlsplit(self._url.decode("latin-1"))
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=unquote(url.path),
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers=self._headers,
            body=bytes(self._body),
        )
        self.requests.append(request)
        self._size = 0


def _head(answer: Answer) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
