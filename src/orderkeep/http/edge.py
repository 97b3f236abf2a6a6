"""What a connection may do before any application sees it: size, count and patience.

httptools parses, because h11 answers a second request smuggled behind conflicting lengths. This
adds what httptools and uvicorn leave open: how long a head may be, and how slow a client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orderkeep.http.problems import render
from orderkeep.http.refusals import AddressTooLong, BadRequest, HeadersTooLarge, RequestTimeout
from orderkeep.kernel.errors import Refused

_REASONS = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long", 431: b"Too Large"}


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds."""

    url_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 4096
    pipelined: int = 16
    head_s: float = 10.0
    """From a head's first byte to its last, or from connecting to the first byte."""
    body_grace_s: float = 15.0
    body_bytes_per_s: int = 1024
    """After the grace a body has to come at least this fast on average."""
    write_stall_s: float = 20.0
    """How long a client may leave everything we sent unread."""
    linger_s: float = 5.0
    linger_bytes: int = 16 * 1024 * 1024
    """A refused body is read on for a while, so that the refusal is not lost in a reset."""


class _Door:
    """A transport whose ``close`` lets the client read the answer before the connection ends."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        # Bound once: these are on every request's path.
        self.write = transport.write
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.close = close


class EdgeProtocol(HttpToolsProtocol):
    """One connection. ``check`` is called about once a second and ends one that is too slow."""

    limits = EdgeLimits()
    _socket: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        self._head_bytes = 0
        self._in_head = True
        self._body_bytes = 0
        self._since = self.loop.time()
        self._refusal: Refused | None = None
        self._running: RequestResponseCycle | None = None
        self._deaf = False
        self._lingering: float | None = None
        self._linger_bytes = 0
        self._unread = 0
        self._unread_since = 0.0
        self._keep_alive = False
        super().connection_made(_Door(transport, self._close))  # type: ignore[arg-type]
        if len(self.connections) > self.limits.connections:
            transport.abort()

    # --- bytes in -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._lingering is not None:
            self._count_lingering(len(data))
            return
        self._unset_keepalive_if_required()
        if self._in_head and not self._head_bytes:
            self._since = self.loop.time()
        self._head_bytes += len(data) if self._in_head else 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("This is not HTTP as it must be."))
        else:
            self._check_head()

    def _check_head(self) -> None:
        if self._in_head and self._head_bytes > self.limits.head_bytes:
            self._refuse(
                HeadersTooLarge("The headers are longer than we read.")
                if self.headers or len(getattr(self, "url", b"")) <= self.limits.url_bytes
                else AddressTooLong("The address is longer than we read.")
            )

    # --- the parser's calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._header_bytes = 0
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop(BadRequest("Too many requests wait on this connection."))

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._stop(AddressTooLong("The address is longer than we read."))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        too_many = len(self.headers) > self.limits.headers
        if too_many or self._header_bytes > self.limits.head_bytes:
            self._stop(HeadersTooLarge("The headers are more or longer than we read."))

    def on_headers_complete(self) -> None:
        hosts = sum(1 for name, _ in self.headers if name == b"host")
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() != "1.0"):
            self._stop(BadRequest("There must be one Host header."))
        if self.parser.should_upgrade():
            # The parser would leave the body unread, and the application would take it for empty.
            self._stop(BadRequest("This server speaks HTTP/1.1 only; do not ask to upgrade."))
        self._in_head = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._since = self.loop.time()
        super().on_headers_complete()
        # An answer before the whole body ends the connection, and has to say so: a client that
        # took it for open would lose its next request on it.
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive
        super().on_message_complete()

    def shutdown(self) -> None:
        self._keep_alive = False
        super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        answered = self._running
        super().on_response_complete()
        if answered is not None and answered.more_body:
            # Answered before the body had come: what follows is not for anybody.
            self._deaf = True
            self._linger()

    def _stop(self, refusal: Refused) -> None:
        """End parsing from inside a callback; httptools makes a parser error of it."""
        self._refusal = refusal
        raise refusal

    # --- ending -------------------------------------------------------------------------------

    def _refuse(self, refusal: Refused) -> None:
        """Answer in the name of no application, and hear no more on this connection.

        A request that has come whole may be an order being kept: it gets its own answer, never a
        refusal that belongs to what came behind it.
        """
        self._deaf = True
        self.pipeline.clear()
        running = self._running
        if running is None or running.response_complete:
            self._socket.write(raw_answer(refusal))
            self._linger()
        elif running.more_body:
            self._cut_short(running, refusal)
        else:
            running.keep_alive = False

    def _cut_short(self, running: RequestResponseCycle, refusal: Refused) -> None:
        """End a request whose body has not come whole: its application is told it is gone."""
        running.disconnected = True
        running.message_event.set()
        if not running.response_started:
            self._socket.write(raw_answer(refusal))
        self._linger()

    def _close(self) -> None:
        whole = self._running is None or not self._running.more_body
        if whole and not self._deaf:
            self._socket.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Say that we are done, and read on for a while: an unread body would reset our answer."""
        if self._lingering is not None or self._socket.is_closing():
            return
        self._lingering = self.loop.time()
        self._unset_keepalive_if_required()
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self._socket.resume_reading()

    def _count_lingering(self, received: int) -> None:
        self._linger_bytes += received
        if self._linger_bytes > self.limits.linger_bytes:
            self._socket.abort()

    # --- patience -----------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End the connection if its client is too slow at sending or at reading."""
        if self._lingering is not None:
            if now - self._lingering > self.limits.linger_s:
                self._socket.abort()
        elif self._reads_too_slowly(now):
            self._socket.abort()
        elif self._sends_head_too_slowly(now) or self._sends_body_too_slowly(now):
            self._time_out()

    def _sends_head_too_slowly(self, now: float) -> bool:
        idle = self._running is None or self._running.response_complete
        waiting = self._head_bytes > 0 or self._running is None
        return self._in_head and idle and waiting and now - self._since > self.limits.head_s

    def _sends_body_too_slowly(self, now: float) -> bool:
        if self._in_head or self._deaf or self.flow.read_paused:
            return False
        grace = self.limits.body_grace_s + self._body_bytes / self.limits.body_bytes_per_s
        return now - self._since > grace

    def _reads_too_slowly(self, now: float) -> bool:
        unread = self._socket.get_write_buffer_size()
        if unread == 0 or unread != self._unread:
            self._unread, self._unread_since = unread, now
            return False
        return now - self._unread_since > self.limits.write_stall_s

    def _time_out(self) -> None:
        if self._running is None and self._head_bytes == 0:
            self._socket.close()  # It never said anything: there is nothing to answer.
            return
        self._refuse(RequestTimeout("The request came too slowly."))


def protocol(limits: EdgeLimits) -> type[EdgeProtocol]:
    """The protocol with limits of its own."""
    return type("LimitedEdgeProtocol", (EdgeProtocol,), {"limits": limits})


def raw_answer(refusal: Refused) -> bytes:
    """A whole answer in bytes, for a request that no application sees."""
    answer = render(refusal, request_id="")
    head: list[Any] = [b"HTTP/1.1 %d %s\r\n" % (answer.status, _REASONS[answer.status])]
    head += [b"%s: %s\r\n" % pair for pair in answer.headers]
    return b"".join([*head, b"connection: close\r\n\r\n", answer.body])
