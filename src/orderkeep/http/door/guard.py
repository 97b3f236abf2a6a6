"""What every request meets first: an id, a key, a quota; and what every answer carries."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import structlog

from orderkeep.access.keys import KeyHolder, Quota
from orderkeep.http.at_once import AtOnce, WholeRequest
from orderkeep.http.door.keys import KeyRing
from orderkeep.http.gate import Gate
from orderkeep.http.limits import Others, RateLimiter, Verdict, quota_headers, quota_lines
from orderkeep.http.peers import LOOPBACK, Proxies, peer_of
from orderkeep.http.problems import Rendered, render
from orderkeep.http.refusals import BadRequest, TooManyRequests, WrongKey
from orderkeep.http.strict_json import ClientGone
from orderkeep.http.whole import send_whole
from orderkeep.intake.accept import Sender
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids

log = structlog.get_logger()

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WRONG_KEYS = Quota(rate=1000, per_seconds=10)
"""Refusals one peer gets before it is told to wait: nobody guesses 256 bits, but floods cost."""

_ONCE_ONLY = (b"authorization", b"idempotency-key", b"content-type", b"content-encoding")
VISIT = "orderkeep.visit"
"""Where the scope carries it."""
CHANNEL = "api"
SOURCE = "door"


@dataclass(slots=True)
class Visit:
    """One request on its way through the door."""

    trace_id: str
    headers: dict[bytes, bytes]
    holder: KeyHolder | None = None
    verdict: Verdict | None = None
    status: int = 0

    def stamps(self) -> list[tuple[bytes, bytes]]:
        """The headers that every answer carries."""
        stamps = [(b"x-request-id", self.trace_id.encode())]
        if self.holder is not None and self.verdict is not None:
            stamps += quota_headers(self.holder.quota, self.verdict)
        return stamps

    def lines(self) -> bytes:
        """The same, as lines of an answer that is written at once."""
        lines = b"x-request-id: %b\r\n" % self.trace_id.encode()
        if self.holder is None or self.verdict is None:
            return lines
        return lines + quota_lines(self.holder.quota, self.verdict)

    @property
    def caller(self) -> KeyHolder:
        """Whose key came with it.

        Raises:
            WrongKey: none came; a route behind the guard is never called then.
        """
        if self.holder is None:
            raise WrongKey("A valid key is needed.")
        return self.holder

    @property
    def sender(self) -> Sender:
        """The caller in the words of intake and orders."""
        return Sender(
            self.caller.partner_id, CHANNEL, SOURCE, self.caller.key_id, trace_id=self.trace_id
        )


def visit_of(scope: Scope) -> Visit:
    """The request's visit, as the guard has put it there."""
    visit: Visit = scope[VISIT]
    return visit


class Guard:
    """Lets requests with a key and quota through to ``inner``; answers every refusal."""

    def __init__(
        self,
        inner: App,
        keys: KeyRing,
        clock: Clock,
        ids: Ids,
        *,
        proxies: Proxies | None = None,
        wrong_keys: Quota = WRONG_KEYS,
        others: Others | None = None,
    ) -> None:
        self.at_once: AtOnce = {}
        """What a server that offers it may leave with us before anything is awaited."""
        self.gate: Gate | None = None
        """Where a server asks whether to let a request in at all."""
        self._inner = inner
        self._keys = keys
        self._first_half = ids.envelope_id(clock.now()).replace("-", "")[16:]
        self._visits = count(1)
        self._proxies = proxies or Proxies()
        self._wrong_quota = wrong_keys
        self._quotas = RateLimiter(others=others)
        self._wrong_keys = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        visit = scope.get(VISIT) or Visit(self._trace_id(), dict(scope["headers"]))
        scope[VISIT] = visit
        await self._guarded(visit, scope, receive, _stamping(send, visit))

    async def _guarded(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if len(visit.headers) != len(scope["headers"]):
                _refuse_repeated(scope["headers"])
            if scope["path"].startswith("/v1/") and visit.holder is None:
                await self._admit(visit, scope)
            await self._inner(scope, receive, send)
        except ClientGone:
            visit.status = 499  # As nginx counts it; nothing is sent.
        except Exception as error:  # noqa: BLE001  # the last net: a bug is told as nothing but its id
            await refuse(visit, error, scope, send)

    async def _admit(self, visit: Visit, scope: Scope) -> None:
        now = time.monotonic()
        try:
            holder = await self._keys.holder(visit.headers.get(b"authorization"), now)
        except WrongKey:
            peer = caller_of(scope, self._proxies)
            _within(self._wrong_keys.take(peer, self._wrong_quota, now))
            raise
        visit.holder = holder
        if scope["path"] == "/v1/limits":
            visit.verdict = self._quotas.look(holder.key_id, holder.quota, now)
            return
        visit.verdict = self._quotas.take(holder.key_id, holder.quota, now)
        _within(visit.verdict)

    def admitted(self, request: WholeRequest) -> Visit | None:
        """The visit of a request whose key is known and has quota left; it has been counted."""
        headers, now = dict(request.headers), time.monotonic()
        holder = self._keys.remembered(headers.get(b"authorization"), now)
        if holder is None or len(headers) != len(request.headers):
            return None
        verdict = self._quotas.take(holder.key_id, holder.quota, now)
        return Visit(self._trace_id(), headers, holder, verdict) if verdict.allowed else None

    def _trace_id(self) -> str:
        # Unique, and nobody's secret: asking the system for fresh dice costs more than the guard.
        return f"{self._first_half}{next(self._visits):016x}"


async def refuse(visit: Visit, error: Exception, scope: Scope, send: Send) -> None:
    """Answer an error, unless an answer has begun already."""
    rendered = refusal(visit, error)
    if not visit.status:
        await answer(visit, rendered, scope, send)


def refusal(visit: Visit, error: Exception) -> Rendered:
    """What an error is answered with; a bug is logged, since nothing of it is told."""
    rendered = render(error, visit.trace_id)
    if rendered.status == 500:
        log.error("request.failed", trace_id=visit.trace_id, exc_info=error)
    return rendered


async def answer(visit: Visit, rendered: Rendered, scope: Scope, send: Send) -> None:
    """Send a finished answer, with what every answer carries."""
    visit.status = rendered.status
    rendered.headers.extend(visit.stamps())
    await send_whole(scope, send, rendered)


def caller_of(scope: Scope, proxies: Proxies) -> str:
    """Whom to count refusals against, see ``peers``; proxies of ours name who asks them."""
    address = scope["client"][0] if scope.get("client") else LOOPBACK
    return peer_of(proxies.caller(address, scope["headers"]))


def _within(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise TooManyRequests(timedelta(seconds=verdict.retry_s))


def _refuse_repeated(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in _ONCE_ONLY):
        raise BadRequest("A header that may come once has come twice.")


def _stamping(send: Send, visit: Visit) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start" and not visit.status:
            visit.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *visit.stamps()]
        await send(message)

    return stamped
