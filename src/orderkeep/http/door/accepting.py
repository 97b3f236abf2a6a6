"""``POST /v1/orders``: plain ASGI, because half of a framework's time is spent before the route."""

import re
from datetime import datetime
from typing import Any

import msgspec

from orderkeep.http.door.guard import Receive, Scope, Send, answer, visit_of
from orderkeep.http.problems import Rendered
from orderkeep.http.refusals import BadIdempotencyKey
from orderkeep.http.strict_json import MAX_BODY_BYTES, read_body, require_json
from orderkeep.intake.accept import Accepted, Intake
from orderkeep.orders.order import Stage

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_PLAIN = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class ReceiptView(msgspec.Struct, frozen=True):
    """The proof that an order is kept; ``body_sha256`` is the hash of its canonical body."""

    receipt_id: str
    accepted_at: datetime
    body_sha256: str


class PromiseView(msgspec.Struct, frozen=True):
    """What we promised, and what the client asked for."""

    at: datetime | None
    by: datetime | None


class Links(msgspec.Struct, frozen=True):
    """Where to go on from here."""

    self: str
    events: str
    cancel: str
    accept_price: str


class OrderAccepted(msgspec.Struct, frozen=True):
    """The answer to an order; the same, byte for byte, however often it is asked for."""

    order_no: str
    client_ref: str
    stage: str
    receipt: ReceiptView
    promise: PromiseView
    promise_at: datetime
    links: Links


_encoder = msgspec.json.Encoder()


class Accepting:
    """The route: headers, body, one call, the receipt."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(scope)
        require_json(visit.headers)
        key = idempotency_key(visit.headers)
        body = await read_body(visit.headers, receive, MAX_BODY_BYTES)
        accepted = await self._intake.accept(visit.sender, key, body)
        await answer(visit, receipt(accepted), scope, send)


def receipt(accepted: Accepted) -> Rendered:
    body = receipt_body(accepted)
    headers = [
        *_PLAIN,
        (b"content-length", b"%d" % len(body)),
        (b"location", f"/v1/orders/{accepted.order_no}".encode()),
    ]
    if accepted.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return Rendered(201, headers, body)


def receipt_body(accepted: Accepted) -> bytes:
    """What the receipt says."""
    return _encoder.encode(accepted_view(accepted))


def idempotency_key(headers: dict[bytes, bytes]) -> str:
    """The key that makes a repetition safe.

    Raises:
        BadIdempotencyKey: missing, or not 1 to 255 visible ASCII characters.
    """
    key = headers.get(b"idempotency-key", b"")
    if not _KEY.fullmatch(key):
        raise BadIdempotencyKey(
            "The header Idempotency-Key must have 1 to 255 visible ASCII characters."
        )
    return key.decode("ascii")


def accepted_view(accepted: Accepted) -> OrderAccepted:
    """An acceptance as it is answered."""
    return OrderAccepted(
        order_no=accepted.order_no,
        client_ref=accepted.client_ref,
        stage=Stage.SUBMITTED,
        receipt=ReceiptView(accepted.receipt_id, accepted.accepted_at, accepted.body_sha256),
        promise=PromiseView(accepted.promise_at, accepted.promise_by),
        promise_at=accepted.promise_at,
        links=links(accepted.order_no),
    )


def links(order_no: str) -> Links:
    """An order's addresses."""
    here = f"/v1/orders/{order_no}"
    return Links(here, f"{here}/events", f"{here}/cancel", f"{here}/accept-price")


def is_accepting(scope: Scope) -> bool:
    """Whether this is the measured path."""
    path: Any = scope["path"]
    return path in {"/v1/orders", "/v1/orders/"} and scope["method"] == "POST"
