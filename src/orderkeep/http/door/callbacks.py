"""A foreign system calls back: signed with a secret of its own, kept before it is answered.

``Orderkeep-Signature: t=UNIX_SECONDS,v1=HEX`` is the HMAC-SHA256 of ``t.body``. A signature counts
for five minutes; within them, and ever after, the same event has no second effect: the inbox knows
it by ``Event-Id``, or else by what it says.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from orderkeep.bridge.tray import TrayStore, Unknown
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import OutboxStore
from orderkeep.http.door.guard import Receive, Scope, Send, answer, visit_of
from orderkeep.http.problems import Rendered
from orderkeep.http.refusals import BodyTooLarge, MethodNotAllowed, WrongKey
from orderkeep.http.strict_json import ClientGone
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store

BEFORE_KEEP = failpoint("callback.before_keep", "a call-back has come in, nothing of it on disk")
AFTER_KEEP = failpoint("callback.after_keep", "the call-back is on disk, it is not yet answered")

PREFIX = "/callbacks/"
"""Behind it each system has its name."""
MAX_BODY = 64 * 1024
COUNTS_FOR = timedelta(minutes=5)
"""How far the far side's clock may be off, and for how long a signature can be used."""

_SIGNATURE = re.compile(rb"t=(\d{1,12}),v1=([0-9a-f]{64})")
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,200}")


class CallbackWork(Protocol):
    """A unit of work on what is to be carried to the bridge."""

    @property
    def outbox(self) -> OutboxStore: ...

    @property
    def tray(self) -> TrayStore: ...

    def wake(self, topic: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A call-back whose signature is right; ``said_as`` is what the event is known by."""

    body: bytes
    event_id: str | None
    said_as: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Caller:
    """A foreign system that may call back; ``read`` finds out what it says, or that it is odd."""

    secret: str
    read: Callable[[Call, datetime], Envelope | Unknown]


class Callbacks:
    """The plain ASGI application behind one system's address."""

    def __init__(self, store: Store[CallbackWork], clock: Clock, caller: Caller) -> None:
        self._store = store
        self._clock = clock
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise MethodNotAllowed(["POST"])
        visit = visit_of(scope)
        body = await _body(receive)
        self._check(visit.headers.get(b"orderkeep-signature", b""), body)
        now = self._clock.now()
        said = self._caller.read(_call(visit.headers, body), now)
        reach(BEFORE_KEEP)
        await self._store.write(lambda work: _keep(work, said, now))
        reach(AFTER_KEEP)
        # Either way it is kept: sent again it would say the same.
        status = "kept" if isinstance(said, Envelope) else "not understood"
        told = msgspec.json.encode({"status": status})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(told)),
            (b"cache-control", b"no-store"),
        ]
        await answer(visit, Rendered(202, headers, told), scope, send)

    def _check(self, signature: bytes, body: bytes) -> None:
        """Let through what was signed with the secret, not long ago.

        Raises:
            WrongKey: it was not.
        """
        match = _SIGNATURE.fullmatch(signature)
        if match is None:
            raise WrongKey("A signature is needed.")
        expected = sign(self._caller.secret, int(match[1]), body)
        if not hmac.compare_digest(expected.encode(), match[2]):
            raise WrongKey("The signature is not right.")
        signed = datetime.fromtimestamp(int(match[1]), UTC)
        if abs(self._clock.now() - signed) > COUNTS_FOR:
            raise WrongKey("The signature is too old, or from a clock that is ahead.")


def sign(secret: str, seconds: int, body: bytes) -> str:
    """The signature of a body at an instant, in lower-case hexadecimal."""
    return hmac.new(secret.encode(), b"%d.%b" % (seconds, body), hashlib.sha256).hexdigest()


def _keep(work: CallbackWork, said: Envelope | Unknown, now: datetime) -> None:
    if isinstance(said, Unknown):
        work.tray.keep(said, now)
        return
    work.outbox.post([said])
    work.wake("relay")


def _call(headers: Mapping[bytes, bytes], body: bytes) -> Call:
    """An event is known by its own id, else by the hash of what it says."""
    named = headers.get(b"event-id")
    if named is not None and not _EVENT_ID.fullmatch(named):
        raise Invalid([Fault("Event-Id", "wrong", "1 to 200 visible characters.")])
    event_id = named.decode("ascii") if named is not None else None
    said_as = f"event:{event_id}" if event_id else f"body:{hashlib.sha256(body).hexdigest()}"
    plain = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    return Call(body, event_id, said_as, plain)


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        more = message.get("more_body", False)
    return b"".join(chunks)
