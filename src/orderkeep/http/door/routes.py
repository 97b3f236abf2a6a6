"""The door's routes: each parses, calls one method and renders."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_plus

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from orderkeep.delivery.cloud_events import BATCH, batch
from orderkeep.files.ports import StoredFile
from orderkeep.files.upload import Files, Uploader, announced_sha256
from orderkeep.http.door.bodies import AcceptPriceBody, CancelBody
from orderkeep.http.door.guard import Visit, visit_of
from orderkeep.http.door.openapi import document
from orderkeep.http.door.public_events import (
    KINDS,
    EventPage,
    EventView,
    StepPage,
    cloud_event,
    event_view,
    is_public,
    step_view,
)
from orderkeep.http.door.wire import (
    LimitsView,
    OrderPage,
    OrderView,
    file_view,
    order_summary,
    order_view,
)
from orderkeep.http.problem_pages import page
from orderkeep.http.refusals import BodyTooLarge, PageNotFound, UnsupportedBody, bad_parameter
from orderkeep.http.strict_json import ClientGone, StrictDecoder, read_json, require_plain
from orderkeep.kernel.ids import FileId, OrderNo, order_n, order_no
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import AcceptPrice, CancelOrder, OrderCommand
from orderkeep.orders.events import Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Delivered, Order
from orderkeep.orders.ports import OrderNotFound
from orderkeep.orders.tracking import TrackingWork

AnyRequest = Request[Any, Any, Any]

PAGE = 50
MAX_PAGE = 200
_MAX_NAME = 1000
_MAX_REF = 200
_MAX_POSITION = 2**62
_NOSNIFF = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Tellings(Protocol):
    """How far the CRM knows of each order."""

    def states(self, numbers: Sequence[OrderNo]) -> Mapping[OrderNo, Delivered]: ...


class DoorWork(TrackingWork, Protocol):
    """A unit of work for reading about orders and their ways."""

    @property
    def tellings(self) -> Tellings: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes call."""

    store: Store[DoorWork]
    files: Files
    master: OrderMaster
    ready: Callable[[], Awaitable[bool]]

    async def order(self, visit: Visit, text: str) -> Order:
        """One of the caller's orders; a malformed, unknown and foreign number look the same.

        Raises:
            OrderNotFound: whichever it was.
        """
        number = _order_no(text)
        history = await self.store.read(lambda work: work.orders.history(number))
        order = rebuild(history)
        if order.partner_id != visit.caller.partner_id:
            raise _no_such_order()
        return order

    async def told(self, numbers: Sequence[OrderNo]) -> Mapping[OrderNo, Delivered]:
        """How far the CRM knows of orders; one that it was never told of is missing."""
        return await self.store.read(lambda work: work.tellings.states(numbers))

    async def view(self, order: Order) -> OrderView:
        """An order as its partner sees it."""
        return order_view(order, (await self.told([order.no])).get(order.no))

    async def command(self, visit: Visit, text: str, command: OrderCommand) -> Order:
        """Give a command to one of the caller's orders; returns it as it is then."""
        order = await self.order(visit, text)
        sender = visit.sender
        name = f"{type(command).__name__} {sender.via}"
        cause = Cause(sender.cause.actor, name, sender.source, sender.trace_id)
        return (await self.master.handle(order.no, command, cause)).order


_cancel_decoder = StrictDecoder(CancelBody)
_accept_price_decoder = StrictDecoder(AcceptPriceBody)


def routes(desk: Desk) -> list[Any]:
    """Every route but the accepting of orders."""
    return [*_of_files(desk), *_of_orders(desk), *_of_events(desk), *_of_the_door(desk)]


def _of_files(desk: Desk) -> list[Any]:
    @post("/v1/files", status_code=201)
    async def upload(request: AnyRequest) -> Response[bytes]:
        visit = _visit(request)
        _only(request, "name")
        name = _query(request, "name")
        if not name or len(name) > _MAX_NAME:
            raise bad_parameter("name", "required", f"must have 1 to {_MAX_NAME} characters")
        announced = _announced(visit)
        _require_raw(visit, desk.files.max_bytes)
        uploader = Uploader(visit.caller.partner_id, visit.caller.key_id)
        file: StoredFile = await desk.files.take(uploader, name, _chunks(request), announced)
        return _json(file_view(file), 201, {"location": f"/v1/files/{file.id}"})

    @get("/v1/files/{file_id:str}")
    async def file(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes]:
        visit = _visit(request)
        return _json(file_view(await desk.files.find(visit.caller.partner_id, FileId(file_id))))

    return [upload, file]


def _of_orders(desk: Desk) -> list[Any]:
    @get("/v1/orders")
    async def orders(request: AnyRequest) -> Response[bytes]:
        visit = _visit(request)
        _only(request, "client_ref", "after", "limit")
        limit, after = _limit(request), _after_order(request)
        ref = _client_ref(request)
        rows = await desk.store.read(
            lambda work: work.tracking.orders_of(visit.caller.partner_id, after, limit + 1, ref)
        )
        shown = rows[:limit]
        more = shown[-1].order_no if len(rows) > limit else None
        told = await desk.told([row.order_no for row in shown])
        return _json(OrderPage([order_summary(row, told.get(row.order_no)) for row in shown], more))

    @get("/v1/orders/{no:str}")
    async def order(request: AnyRequest, no: FromPath[str]) -> Response[bytes]:
        return _json(await desk.view(await desk.order(_visit(request), no)))

    @get("/v1/orders/{no:str}/events")
    async def steps(request: AnyRequest, no: FromPath[str]) -> Response[bytes]:
        _only(request, "after", "limit")
        limit, after = _limit(request), _after_position(request)
        number = (await desk.order(_visit(request), no)).no
        history = await desk.store.read(lambda work: work.orders.history(number))
        behind = [one for one in history if one.seq > after]
        more = str(behind[limit - 1].seq) if len(behind) > limit else None
        return _json(StepPage([step_view(one) for one in behind[:limit]], more))

    @post("/v1/orders/{no:str}/cancel", status_code=200)
    async def cancel(request: AnyRequest, no: FromPath[str]) -> Response[bytes]:
        visit = _visit(request)
        body = (await read_json(_cancel_decoder, visit.headers, request.receive)).value
        return _json(await desk.view(await desk.command(visit, no, CancelOrder(body.reason))))

    @post("/v1/orders/{no:str}/accept-price", status_code=200)
    async def accept_price(request: AnyRequest, no: FromPath[str]) -> Response[bytes]:
        visit = _visit(request)
        body = (await read_json(_accept_price_decoder, visit.headers, request.receive)).value
        return _json(await desk.view(await desk.command(visit, no, AcceptPrice(body.version))))

    return [orders, order, steps, cancel, accept_price]


def _of_events(desk: Desk) -> list[Any]:
    @get("/v1/events")
    async def events(request: AnyRequest) -> Response[bytes]:
        visit = _visit(request)
        _only(request, "after", "limit")
        limit, after = _limit(request), _after_position(request)
        found, more = await desk.store.read(
            lambda work: work.tracking.events_of(visit.caller.partner_id, after, limit, KINDS)
        )
        shown = [event_view(one) for one in found if is_public(one.recorded.event)]
        if BATCH in request.headers.get("accept", ""):
            return _cloud_events(shown, f"/v1/events?after={more}&limit={limit}" if more else None)
        return _json(EventPage(shown, str(more) if more is not None else None))

    return [events]


def _of_the_door(desk: Desk) -> list[Any]:
    """How many calls a partner has left, and what anybody may ask without a key."""

    @get("/v1/limits")
    async def limits(request: AnyRequest) -> Response[bytes]:
        visit = _visit(request)
        quota, verdict = visit.caller.quota, visit.verdict
        remaining, reset = (verdict.remaining, verdict.reset_s) if verdict else (quota.rate, 0)
        return _json(LimitsView(quota.rate, quota.per_seconds, remaining, reset))

    @get("/healthz")
    async def healthz() -> Response[bytes]:
        return _json({"status": "ok"})

    @get("/readyz")
    async def readyz() -> Response[bytes]:
        ready = await desk.ready()
        return _json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    @get("/openapi.json")
    async def openapi() -> Response[bytes]:
        return Response(document(), media_type="application/json", headers=_NOSNIFF)

    @get("/problems/{slug:str}")
    async def problem(request: AnyRequest, slug: FromPath[str]) -> Response[bytes]:
        html = page(slug, request.headers.get("accept-language", ""))
        if html is None:
            raise PageNotFound("There is nothing at this address.")
        headers = {"content-security-policy": "default-src 'none'", "vary": "accept-language"}
        return Response(
            html.encode(), media_type="text/html; charset=utf-8", headers=_NOSNIFF | headers
        )

    return [limits, healthz, readyz, openapi, problem]


def _cloud_events(shown: Sequence[EventView], following: str | None) -> Response[bytes]:
    """A batch of CloudEvents is an array, so the way to the next page is in a header."""
    link = {"link": f'<{following}>; rel="next"'} if following else {}
    body = batch([cloud_event(one) for one in shown])
    return Response(body, media_type=BATCH, headers=_NOSNIFF | link)


def _visit(request: AnyRequest) -> Visit:
    # Litestar types the same dict key by key; ours has one key more.
    scope: Any = request.scope
    return visit_of(scope)


def _json(view: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(
        msgspec.json.encode(view),
        status_code=status,
        media_type="application/json",
        headers=_NOSNIFF | (headers or {}),
    )


def _order_no(text: str) -> OrderNo:
    n = order_n(text)
    if n is None:
        raise _no_such_order()
    return order_no(n)


def _no_such_order() -> OrderNotFound:
    return OrderNotFound("There is no such order.")


# --- queries ------------------------------------------------------------------------------------


def _only(request: AnyRequest, *known: str) -> None:
    """Refuse parameters that mean nothing here: a misspelt filter would answer with everything.

    Raises:
        BadParameters: there is one.
    """
    if any(name not in known for name, _ in _pairs(request)):
        raise bad_parameter("", "unknown-parameter", f"only these are known: {', '.join(known)}")


def _query(request: AnyRequest, name: str) -> str | None:
    """A parameter of the query, in UTF-8 and once only.

    Raises:
        BadParameters: given twice, or not a text.
    """
    values = [value for key, value in _pairs(request) if key == name]
    if not values:
        return None
    if len(values) > 1:
        raise bad_parameter(name, "duplicate-name", "must be given once only")
    try:
        text = unquote_plus(values[0], errors="strict")
    except UnicodeDecodeError as error:
        raise bad_parameter(name, "encoding", "must be UTF-8") from error
    if "\x00" in text:
        raise bad_parameter(name, "nul", "must not have the character NUL")
    return text


def _pairs(request: AnyRequest) -> list[tuple[str, str]]:
    """The query's parameters, their values not yet decoded."""
    raw = request.scope["query_string"].decode("latin-1")
    split = (part.partition("=") for part in raw.split("&") if part)
    return [(unquote_plus(name), value) for name, _, value in split]


def _client_ref(request: AnyRequest) -> str | None:
    text = _query(request, "client_ref")
    if text is not None and not 1 <= len(text) <= _MAX_REF:
        raise bad_parameter("client_ref", "length", f"must have 1 to {_MAX_REF} characters")
    return text


def _limit(request: AnyRequest) -> int:
    text = _query(request, "limit")
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE):
        raise bad_parameter("limit", "range", f"must be a number from 1 to {MAX_PAGE}")
    return int(text)


def _after_position(request: AnyRequest) -> int:
    text = _query(request, "after")
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < _MAX_POSITION):
        raise bad_parameter("after", "cursor", "must be what `next` said")
    return int(text)


def _after_order(request: AnyRequest) -> int:
    text = _query(request, "after")
    if text is None or text == "":
        return 0
    n = order_n(text)
    if n is None:
        raise bad_parameter("after", "cursor", "must be what `next` said")
    return n


# --- uploads ------------------------------------------------------------------------------------


def _require_raw(visit: Visit, limit_bytes: int) -> None:
    require_plain(visit.headers)
    if visit.headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        raise UnsupportedBody("Send the file's bytes as the body, not a form.")
    declared = visit.headers.get(b"content-length", b"0")
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise BodyTooLarge(limit_bytes)


def _announced(visit: Visit) -> str | None:
    digest, plain = (
        visit.headers[name].decode("latin-1") if name in visit.headers else None
        for name in (b"content-digest", b"x-content-sha256")
    )
    return announced_sha256(digest, plain)


async def _chunks(request: AnyRequest) -> AsyncIterator[bytes]:
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return
