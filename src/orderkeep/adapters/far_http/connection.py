"""One HTTP/1.1 connection of ours to a foreign system: a request, a whole answer, the next."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from select import POLLIN, poll
from time import monotonic
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_BYTES = 64 * 1024
"""Of an answer beside its body, its chunks' sizes left aside: nobody needs more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer within the cap; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """The connection brought no whole answer; the message is a short cause."""


class Connection(asyncio.Protocol):
    """Carries one request at a time; whoever was cut in between closes it.

    A general client's pools, hooks and states cost us more than everything else about an order.
    """

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._transport: asyncio.Transport | None = None
        self._answer: _Answer | None = None
        self._is_kept = True
        self._idle_since = monotonic()

    def is_fit(self, idle: timedelta) -> bool:
        """Whether it may carry one more request: open, silent, and unused for no longer."""
        if self._transport is None or not self._is_kept:
            return False
        unused = monotonic() - self._idle_since
        return unused <= idle.total_seconds() and not _has_word(self._transport)

    async def exchange(self, request: bytes, silence: timedelta) -> Reply:
        """Send, and wait for the whole answer, never longer than ``silence`` for its next bytes.

        Raises:
            Broken: there is none; the request may have arrived all the same.
        """
        if self._transport is None:
            raise Broken("ConnectionLost")
        self._is_kept = False
        try:
            async with asyncio.timeout(silence.total_seconds()) as waiting:
                answer = self._answer = _Answer(self._cap_bytes, silence, waiting)
                self._transport.write(request)
                reply = await answer.whole
        except TimeoutError as late:
            raise Broken("ReadTimeout") from late
        finally:
            self._answer = None
        self._is_kept, self._idle_since = answer.keeps_alive, monotonic()
        return reply

    def close(self) -> None:
        """Let go of it at once; what is under way is cut."""
        if self._transport is not None:
            self._transport.abort()

    # --- told by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's, always; uvloop's say so by what they can do only.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # Nobody asked: whatever comes next could not be told from an answer.
        else:
            self._answer.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None:
            self._answer.ended(error)


class _Answer:
    """Puts an answer together from what comes; the parser calls what begins with ``on_``."""

    def __init__(self, cap_bytes: int, silence: timedelta, waiting: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self.whole: asyncio.Future[Reply] = self._loop.create_future()
        self.keeps_alive = False
        self._parser = HttpResponseParser(self)
        self._cap_bytes = cap_bytes
        self._silence_s = silence.total_seconds()
        self._waiting = waiting
        self._received = 0
        self._headers: dict[str, str] = {}
        self._is_body = False
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        if self.whole.done():
            self.keeps_alive = False  # More than was asked for.
            return
        self._waiting.reschedule(self._loop.time() + self._silence_s)
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.keeps_alive = False  # Whole or not, what came after it is no answer.
            self._fail("ProtocolError")
        if self._received > HEAD_BYTES + 2 * self._cap_bytes:
            self._fail("answer above the cap")

    def ended(self, error: Exception | None) -> None:
        """The connection is over: an answer that says no length is whole then."""
        if self._is_body and error is None and not self._says_length():
            self._done()
        else:
            self._fail("ConnectionLost")

    def on_message_begin(self) -> None:
        self.keeps_alive = False
        self._headers, self._is_body = {}, False

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        self._is_body = True
        if self._headers.get("content-encoding", "identity") != "identity":
            # We asked for none; unpacking is how a small answer becomes a large one.
            self._fail("packed answer")
        if self._headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._fail("ProtocolError")

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._cap_bytes:
            self._fail("answer above the cap")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:  # Before it there may be interim ones.
            self.keeps_alive = not self.whole.done() and self._parser.should_keep_alive()
            self._done()

    def _says_length(self) -> bool:
        return "content-length" in self._headers or "transfer-encoding" in self._headers

    def _done(self) -> None:
        if not self.whole.done():
            status = self._parser.get_status_code()
            self.whole.set_result(Reply(status, self._headers, bytes(self._body)))

    def _fail(self, cause: str) -> None:
        if not self.whole.done():
            self.whole.set_exception(Broken(cause))


def _has_word(transport: asyncio.Transport) -> bool:
    """Whether the far side has said or closed something that the loop has not told us yet."""
    asked = poll()
    asked.register(transport.get_extra_info("socket").fileno(), POLLIN)
    return bool(asked.poll(0))
