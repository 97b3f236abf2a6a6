"""What a connection may do before any application sees it: size, count and patience.

httptools parses, because h11 answers a second request smuggled behind conflicting lengths. This
adds what httptools and uvicorn leave open: how long a head may be, and how slow a client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from orderkeep.http.at_once import AtOnce, WholeRequest, head_of
from orderkeep.http.gate import LET_IN, Gate, too_busy
from orderkeep.http.peers import LOOPBACK, Peers, Proxies
from orderkeep.http.problems import Rendered, render
from orderkeep.http.raw import raw_answer
from orderkeep.http.refusals import (
    AddressTooLong,
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    TooManyConnections,
)
from orderkeep.http.seats import Seats
from orderkeep.http.shedding import PATIENCE_S
from orderkeep.http.whole import WHOLE
from orderkeep.kernel.errors import OrderkeepError


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds."""

    url_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 4096
    """One more, and whoever has not been served for the longest has to go."""
    connections_per_peer: int = 512
    """Of one IPv4 address, or one IPv6 network of 64 bits; 0 for no limit.

    This machine's own addresses and ``proxies`` are exempt: a reverse proxy brings everybody under
    one address, and has to keep this limit itself.
    """
    proxies: Proxies = field(default_factory=Proxies)
    held_bytes: int = 32 * 1024
    """A body that says it is no longer waits here until it has come whole: nothing runs for it."""
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
    farewell_s: float = 0.0
    """While we leave: how long an open connection may still bring one more request.

    Zero where nobody takes our place: who asks again meets nobody anyway.
    """
    arrival_s: float = 1.0
    """While we leave: how long a connection that has just come may take over its first byte."""


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
    seats = Seats()
    leaves_at: float | None = None
    """Since when the process has been ending: what is answered now is the last on its connection.

    Of all connections: one may arrive when the others have been told.
    """
    first = b""
    """What the client has said already, if its connection was elsewhere meanwhile."""
    _socket: asyncio.Transport

    # asyncio promises less, a base transport; the listener of a socket gives this one.
    def connection_made(
        self,
        transport: asyncio.Transport,  # type: ignore[override]  # Narrower, as said above.
    ) -> None:
        self._socket = transport
        self._head_bytes = 0
        self._in_head = True
        self._body_bytes = self._after_head = 0
        self._since = self.loop.time()
        self._refusal: OrderkeepError | None = None
        self._running: RequestResponseCycle | None = None
        self._deaf = False
        self._lingering: float | None = None
        self._linger_bytes = 0
        self._unread = 0
        self._unread_since = 0.0
        self._idle_since = 0.0
        self._keep_alive = False
        self._at_once: AtOnce = getattr(self.app, "at_once", {})
        self._gate: Gate | None = getattr(self.app, "gate", None)
        self._let_in = self._looks = False
        self._held: list[bytes] | None = None
        """The body of a request not handed over yet: what is short, or comes whole in one read."""
        self._declared_bytes: int | None = None
        # Not a transport by descent: it has those of its methods that uvicorn calls.
        super().connection_made(_Door(transport, self._close))  # type: ignore[arg-type]  # As said above.
        self._comes_home()
        self._peer = self.peers.arrived(self._address)
        if not self.seats.take(self, self.limits.connections):
            transport.abort()
        elif self._is_too_many():
            self._deaf = True
            transport.write(raw_answer(TooManyConnections()))
            transport.close()
        elif self.first:
            first, self.first = self.first, b""
            self.data_received(first)

    def _comes_home(self) -> None:
        """Have connections that come back from elsewhere begin as this one does."""
        if self._gate is not None and (shedding := self._gate.shedding) is not None:
            shedding.home, shedding.served = self._again, self.connections

    def _again(self, first: bytes) -> "EdgeProtocol":
        again = type(self)(self.config, self.server_state, self.app_state)
        again.first = first
        return again

    def _is_too_many(self) -> bool:
        exceeds = self.peers.exceeds(self._peer, self.limits.connections_per_peer)
        return exceeds and not self.limits.proxies.trust(self.client[0] if self.client else "")

    def connection_lost(self, exc: Exception | None) -> None:
        self.peers.left(self._peer)
        self.seats.leave(self)
        self._look_ends()
        if self._running is not None and not self._running.response_complete:
            # uvicorn tells the last that was read; this one may be in front of it.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    @property
    def may_go(self) -> bool:
        """Whether nothing of its is under way that might be an order and has come whole."""
        if self._running is None or self._running.response_complete:
            return True
        return self._looks or self._running.more_body

    def goes(self) -> None:
        """Make room for somebody else."""
        self._socket.abort()

    # --- bytes in -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._lingering is not None:
            self._count_lingering(len(data))
            return
        if self._in_head and not self._head_bytes:
            self._since = self.loop.time()
            if self._gate is not None and self._is_turned_away(self._gate, data):
                return
        self._head_bytes += len(data) if self._in_head else 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._held = None
            self._refuse(self._refusal or BadRequest("This is not HTTP as it must be."))
        else:
            if self._held is not None and not self._waits_for_body():
                self._hand_over()
            self._check_size(len(data))

    def _waits_for_body(self) -> bool:
        """Whether the rest of a body is worth waiting for: an application would cost more."""
        declared = self._declared_bytes
        return (
            declared is not None
            and declared <= self.limits.held_bytes
            and not self.expect_100_continue
            and not self._socket.is_closing()
        )

    def _is_turned_away(self, gate: Gate, data: bytes) -> bool:
        gate.arrived(self.loop)
        refusal = gate.judge(data) if not gate.at_ease and self._may_be_judged() else None
        self._let_in = refusal == LET_IN
        if not refusal:
            return False
        self._idle_since = self._since
        self._socket.write(refusal)
        if gate.sheds_refused:
            self.loop.call_soon(self._step_aside)
        return True

    def _step_aside(self) -> None:
        """Go where another process says no, unless something is under way here again."""
        if self._gate is None or (shedding := self._gate.shedding) is None:
            return
        nothing_read = self._in_head and not self._head_bytes and not self.pipeline
        if nothing_read and not self._deaf and self._may_be_judged():
            number = self._socket.get_extra_info("socket").fileno()
            if shedding.take(number, self.peers, self._address, PATIENCE_S):
                self._socket.abort()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else LOOPBACK

    def _may_be_judged(self) -> bool:
        """Not who waits for an answer, leaves answers unread, or has to be told of our end."""
        return (
            self._is_idle()
            and self.leaves_at is None
            and not self._socket.get_write_buffer_size()
            and not self._socket.is_closing()
        )

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
        # The scope waits until somebody needs it.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
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
        at, idle = (self.parser.get_method(), self.url), self._is_idle()
        # Who waits behind a request of its own is asked about when its turn comes.
        if idle and self._gate is not None and not self._let_in and not self._gate.admits(*at):
            self._stop(too_busy())
        self._let_in = False
        if idle and at in self._at_once:
            self._held = []
        else:
            self._hand_over()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _hand_over(self, **state: Any) -> None:
        """Begin the request the ordinary way, with what of its body has come."""
        held, self._held = self._held or (), None
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        cast("dict[str, Any]", self.scope).update(state)
        super().on_headers_complete()
        # An answer before the whole body ends the connection, and has to say so: a client that
        # took it for open would lose its next request on it.
        self._keep_alive = self.cycle.keep_alive and self.leaves_at is None
        self.cycle.keep_alive = False
        for part in held:
            super().on_body(part)

    def _judge_head(self) -> int:
        """Refuse a head that is too long; returns how often it names its host."""
        size = hosts = 0
        self._declared_bytes = None
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
            if name == b"content-length" and value.isdigit():
                self._declared_bytes = int(value)
        if len(self.url) > self.limits.url_bytes:
            self._stop(AddressTooLong("The address is longer than we read."))
        if len(self.headers) > self.limits.headers or size > self.limits.head_bytes:
            self._stop(HeadersTooLarge("The headers are more or longer than we read."))
        return hosts

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._held is not None and self._is_taken_at_once(b"".join(self._held)):
            return
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive
        super().on_message_complete()

    def _is_taken_at_once(self, body: bytes) -> bool:
        request = WholeRequest(self.headers, body, self._write_whole, keep_alive=self._may_stay())
        before, at = self._running, (self.parser.get_method(), self.url)
        # It is what runs now, in all that is read of a cycle here and in uvicorn.
        self._running = self.cycle = cast("RequestResponseCycle", request)
        if self._at_once[at](request):
            self._held = None
            return True
        self._running = before
        self.cycle = cast("RequestResponseCycle", before)
        self._hand_over(**request.state)
        return False

    def _may_stay(self) -> bool:
        keeps = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        return keeps and self.leaves_at is None

    def _write_whole(self, request: WholeRequest, status: int, head: bytes, body: bytes) -> None:
        if self._socket.is_closing():
            return
        head = head_of(self.server_state.default_headers) + head
        self._socket.write(_raw(status, head, body, keep_alive=request.keep_alive))
        if not request.keep_alive:
            self._close()
        self.on_response_complete()

    def shutdown(self) -> None:
        """Told that the process ends. What has begun is answered; ``check`` ends who stays silent.

        Not closed at once, as uvicorn does: a request that is on its way would be lost with it.
        """
        self._keep_alive = False
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        self.check(self.loop.time())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        cast("dict[str, Any]", cycle.scope)[WHOLE] = partial(_answer_whole, cycle)
        if self._gate is not None and self._gate.is_look(cycle.scope):
            self._looks = True
            self._gate.look(partial(self._begin_look, cycle, app), self.loop)
        else:
            super()._start_asgi_task(cycle, app)

    def _begin_look(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        # As uvicorn does, but for its timer: ``check`` sees who stays silent for too long.
        answered = self._running
        self.seats.served(self)
        self._look_ends()
        self.server_state.total_requests += 1
        if isinstance(answered, RequestResponseCycle):
            # They would hold each other, and the whole request, until a collection finds them.
            cast("dict[str, Any]", answered.scope).pop(WHOLE, None)
        if not self.transport.is_closing():
            self._idle_since = self.loop.time()
            self.flow.resume_reading()
            self._serve_next()
            if self._gate is not None and self._gate.sheds_answered:
                self.loop.call_soon(self._step_aside)
        if answered is not None and answered.more_body:
            # Answered before the body had come: what follows is not for anybody.
            self._deaf = True
            self._linger()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._running is not None and self._running.response_complete:
            self._serve_next()

    def _serve_next(self) -> None:
        """Begin the request that waits behind the last; not for who leaves its answers unread."""
        if not self.pipeline or self.flow.write_paused or self.transport.is_closing():
            return
        cycle, app = self.pipeline.pop()
        method, url = cycle.scope["method"].encode(), cycle.scope["raw_path"]
        if self._gate is None or self._gate.admits(method, url):
            self._start_asgi_task(cycle, app)
        else:
            self._running = cycle
            _answer_whole(cycle, _BUSY)

    def _look_ends(self) -> None:
        if self._looks and self._gate is not None:
            self._looks = False
            self._gate.look_ends()

    def _stop(self, refusal: OrderkeepError) -> None:
        """End parsing from inside a callback; httptools makes a parser error of it."""
        self._refusal = refusal
        raise refusal

    # --- ending -------------------------------------------------------------------------------

    def _refuse(self, refusal: OrderkeepError) -> None:
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

    def _cut_short(self, running: RequestResponseCycle, refusal: OrderkeepError) -> None:
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
        if not self._in_head or self._head_bytes:
            return False
        if self._running is None:  # Never asked anything; ``head_s`` bounds it while we stay.
            return self._may_close(now) and now - self._since >= self.limits.arrival_s
        if not self._running.response_complete:
            return False
        return self._may_close(now) or now - self._idle_since > self.limits.keep_alive_s

    def _may_close(self, now: float) -> bool:
        """Whether we leave, and it has been given its time for one more request."""
        return self.leaves_at is not None and now - self.leaves_at >= self.limits.farewell_s

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
        if self._running is None and self._in_head and self._head_bytes == 0:
            self._socket.close()  # It never said anything: there is nothing to answer.
            return
        self._refuse(RequestTimeout("The request came too slowly."))


_BUSY = render(too_busy(), request_id="")


def _answer_whole(cycle: RequestResponseCycle, answer: Rendered) -> None:
    if cycle.disconnected or cycle.response_started:
        return
    cycle.response_started = cycle.response_complete = True
    head = head_of(cycle.default_headers) + head_of(answer.headers)
    body = b"" if cycle.scope["method"] == "HEAD" else answer.body
    cycle.transport.write(_raw(answer.status, head, body, keep_alive=cycle.keep_alive))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _raw(status: int, head: bytes, body: bytes, *, keep_alive: bool) -> bytes:
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return b"".join((STATUS_LINE[status], head, end, body))


def protocol(limits: EdgeLimits) -> type[EdgeProtocol]:
    """The protocol with limits of its own."""
    return type(
        "LimitedEdgeProtocol",
        (EdgeProtocol,),
        {"limits": limits, "peers": Peers(), "seats": Seats()},
    )
