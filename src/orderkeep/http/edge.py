"""What a connection may do before any application sees it: size, count and patience.

httptools parses, because h11 answers a second request smuggled behind conflicting lengths. This
adds what httptools and uvicorn leave open: how long a head may be, and how slow a client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from orderkeep.http.peers import LOOPBACK, Peers
from orderkeep.http.problems import Rendered, render
from orderkeep.http.refusals import (
    AddressTooLong,
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    TooManyConnections,
)
from orderkeep.http.whole import WHOLE
from orderkeep.kernel.errors import Refused

_REASONS = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long"}
_REASONS |= {429: b"Too Many Requests", 431: b"Too Large"}


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds."""

    url_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 4096
    connections_per_peer: int = 512
    """Of one IPv4 address, or one IPv6 network of 64 bits; 0 for no limit.

    This machine's own addresses are exempt: a reverse proxy here brings everybody under one
    address. One on another machine does so too, and has to keep this limit itself.
    """
    pipelined: int = 16
    head_s: float = 10.0
    """From a head's first byte to its last, or from connecting to the first byte."""
    body_grace_s: float = 15.0
    body_bytes_per_s: int = 1024
    """After the grace a body has to come at least this fast on average."""
    keep_alive_s: float = 30.0
    """How long a connection may stay open with nothing asked."""
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
    peers = Peers()
    _socket: asyncio.Transport

    # asyncio promises less, a base transport; the listener of a socket gives this one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        self._head_bytes = 0
        self._in_head = True
        self._body_bytes = self._after_head = 0
        self._since = self.loop.time()
        self._refusal: Refused | None = None
        self._running: RequestResponseCycle | None = None
        self._deaf = False
        self._lingering: float | None = None
        self._linger_bytes = 0
        self._unread = 0
        self._unread_since = 0.0
        self._idle_since = 0.0
        self._keep_alive = False
        # Not a transport by descent: it has those of its methods that uvicorn calls.
        super().connection_made(_Door(transport, self._close))  # type: ignore[arg-type]
        self._peer = self.peers.arrived(self.client[0] if self.client else LOOPBACK)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        elif self.peers.exceeds(self._peer, self.limits.connections_per_peer):
            self._deaf = True
            transport.write(raw_answer(TooManyConnections()))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.peers.left(self._peer)
        super().connection_lost(exc)

    # --- bytes in -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._lingering is not None:
            self._count_lingering(len(data))
            return
        if self._in_head and not self._head_bytes:
            self._since = self.loop.time()
        self._head_bytes += len(data) if self._in_head else 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("This is not HTTP as it must be."))
        else:
            self._check_size(len(data))

    def _check_size(self, received: int) -> None:
        if not self._in_head:
            self._check_trailers(received)
        elif self._head_bytes > self.limits.head_bytes:
            self._refuse(
                HeadersTooLarge("The headers are longer than we read.")
                if self.headers or len(getattr(self, "url", b"")) <= self.limits.url_bytes
                else AddressTooLong("The address is longer than we read.")
            )

    def _check_trailers(self, received: int) -> None:
        """A body in tiny chunks is mostly framing; what is far more than that is trailers."""
        self._after_head += received
        allowed = 2 * self.limits.head_bytes + 8 * self._body_bytes
        if self._after_head > allowed or len(self.headers) > self.limits.headers:
            self._refuse(HeadersTooLarge("The headers after the body are more than we read."))

    # --- the parser's calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop(BadRequest("Too many requests wait on this connection."))

    def on_headers_complete(self) -> None:
        hosts = self._judge_head()
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() != "1.0"):
            self._stop(BadRequest("There must be one Host header."))
        if self.parser.should_upgrade():
            # The parser would leave the body unread, and the application would take it for empty.
            self._stop(BadRequest("This server speaks HTTP/1.1 only; do not ask to upgrade."))
        self._in_head = False
        self._head_bytes = 0
        self._body_bytes = self._after_head = 0
        self._since = self.loop.time()
        super().on_headers_complete()
        # An answer before the whole body ends the connection, and has to say so: a client that
        # took it for open would lose its next request on it.
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def _judge_head(self) -> int:
        """Refuse a head that is too long; returns how often it names its host."""
        size = hosts = 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if len(self.url) > self.limits.url_bytes:
            self._stop(AddressTooLong("The address is longer than we read."))
        if len(self.headers) > self.limits.headers or size > self.limits.head_bytes:
            self._stop(HeadersTooLarge("The headers are more or longer than we read."))
        return hosts

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
        cast("dict[str, Any]", cycle.scope)[WHOLE] = partial(_answer_whole, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        # As uvicorn does, but for its timer: ``check`` sees who stays silent for too long.
        answered = self._running
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self._idle_since = self.loop.time()
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
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
        elif self._stays_silent(now):
            self._socket.close()
        elif self._sends_head_too_slowly(now) or self._sends_body_too_slowly(now):
            self._time_out()

    def _stays_silent(self, now: float) -> bool:
        answered = self._running is not None and self._running.response_complete
        waits = answered and self._in_head and not self._head_bytes
        return waits and now - self._idle_since > self.limits.keep_alive_s

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


def _answer_whole(cycle: RequestResponseCycle, answer: Rendered) -> None:
    if cycle.disconnected or cycle.response_started:
        return
    cycle.response_started = cycle.response_complete = True
    lines = [b"%b: %b\r\n" % field for field in (*cycle.default_headers, *answer.headers)]
    if not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    body = b"" if cycle.scope["method"] == "HEAD" else answer.body
    cycle.transport.write(b"".join((STATUS_LINE[answer.status], *lines, b"\r\n", body)))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def protocol(limits: EdgeLimits) -> type[EdgeProtocol]:
    """The protocol with limits of its own."""
    return type("LimitedEdgeProtocol", (EdgeProtocol,), {"limits": limits, "peers": Peers()})


def raw_answer(refusal: Refused) -> bytes:
    """A whole answer in bytes, for a request that no application sees."""
    answer = render(refusal, request_id="")
    head: list[Any] = [b"HTTP/1.1 %d %s\r\n" % (answer.status, _REASONS[answer.status])]
    head += [b"%s: %s\r\n" % pair for pair in answer.headers]
    return b"".join([*head, b"connection: close\r\n\r\n", answer.body])
