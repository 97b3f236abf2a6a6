"""A foreign system calls back: signed with a secret of its own, kept before it is answered.

``Orderkeep-Signature: t=UNIX_SECONDS,v1=HEX`` is the HMAC-SHA256 of ``t.body``. A signature counts
for five minutes; within them, and ever after, the same event has no second effect: the inbox knows
it by ``Event-Id``, or else by what it says.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.said import envelope_of
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

PATH = "/callbacks/mes"
MAX_BODY = 64 * 1024
COUNTS_FOR = timedelta(minutes=5)
"""How far the far side's clock may be off, and for how long a signature can be used."""

_SIGNATURE = re.compile(rb"t=(\d{1,12}),v1=([0-9a-f]{64})")
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,200}")


class CallbackWork(Protocol):
    """A unit of work on what is to be carried to the bridge."""

    @property
    def outbox(self) -> OutboxStore: ...

    def wake(self, topic: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """A foreign system that may call back; ``read`` finds a job in a body, or None."""

    system: str
    secret: str
    read: Callable[[bytes], MesJob | None]


class Callbacks:
    """The plain ASGI application behind ``PATH``."""

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
        job = self._caller.read(body)
        if job is None or job.status is None:
            raise Invalid([Fault("", "unreadable", "A reference and a status are needed.")])
        said_as = _said_as(visit.headers.get(b"event-id"), body)
        now = self._clock.now()
        envelope = envelope_of(self._caller.system, said_as, job, job.status, now)

        def keep(work: CallbackWork) -> None:
            work.outbox.post([envelope])
            work.wake("relay")

        reach(BEFORE_KEEP)
        await self._store.write(keep)
        reach(AFTER_KEEP)
        told = msgspec.json.encode({"status": "kept"})
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
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


def _said_as(event_id: bytes | None, body: bytes) -> str:
    """What an event is known by: its own id, else the hash of what it says."""
    if event_id is None:
        return f"body:{hashlib.sha256(body).hexdigest()}"
    if not _EVENT_ID.fullmatch(event_id):
        raise Invalid([Fault("Event-Id", "wrong", "1 to 200 visible characters.")])
    return f"event:{event_id.decode('ascii')}"


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
