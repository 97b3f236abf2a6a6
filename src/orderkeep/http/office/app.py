"""The office, put together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, Router, asgi, get
from litestar.config.response_cache import ResponseCacheConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import Receive, Scope, Send

from orderkeep.access.ports import Passwords, Session
from orderkeep.access.registry import Registry
from orderkeep.access.sessions import Sessions
from orderkeep.bridge.crm_deciding import CrmDeciding
from orderkeep.bridge.pausing import Pausing
from orderkeep.bridge.sorting import Sorting
from orderkeep.delivery.tally import Counting
from orderkeep.files.upload import Files
from orderkeep.http.office import (
    admin,
    alert_pages,
    by_hand,
    dead_letter_pages,
    description,
    destination_pages,
    health,
    ledger_pages,
    letter_list,
    lists,
    lost_pages,
    orders,
    reconcile_pages,
    session,
    source_pages,
    unknown_pages,
)
from orderkeep.http.office.counted import Metrics
from orderkeep.http.office.gate import (
    PUBLIC,
    AnyRequest,
    from_our_pages,
    session_guard,
    session_of,
    token_of,
)
from orderkeep.http.office.parts import (
    Carried,
    Catalogue,
    ClaimLane,
    DeadLetterDesk,
    Decisions,
    Floor,
    LedgerDesk,
    LostDesk,
    Office,
    OfficeDep,
    OfficeSettings,
    OfficeStore,
    SourceDesk,
)
from orderkeep.http.office.quick import PORT, Quick
from orderkeep.http.office.shared import Shared, SharedReads
from orderkeep.http.office.static import SECURITY_HEADERS, WebApp
from orderkeep.http.office.stream import MAX_CLIENTS, Client, Stream
from orderkeep.http.problems import render
from orderkeep.http.refusals import BadRequest, MethodNotAllowed, PageNotFound
from orderkeep.intake.accept import Intake
from orderkeep.intake.drafts import Drafts
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import Ids
from orderkeep.observe.numbers import Numbers
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy

PREFIX = "/office/v1"


class OfficeApp:
    """The ASGI application. ``drain`` ends the open streams, so that a server can stop."""

    def __init__(self, app: Litestar, office: Office, shared: SharedReads) -> None:
        counted = office.metrics.middleware(app, PORT, SECURITY_HEADERS)
        self._app = Quick(counted, PREFIX, office, shared)
        self.litestar = app
        self.office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def drain(self) -> None:
        """End every stream; called when the role is asked to stop."""
        self.office.stream.close()


def build_office(  # noqa: PLR0913  # Everything passed in, by name.
    *,
    store: OfficeStore,
    master: OrderMaster,
    claims: ClaimLane,
    passwords: Passwords,
    clock: Clock,
    ids: Ids,
    policy: Policy,
    settings: OfficeSettings,
    floor: Floor | None = None,
    decisions: Decisions | None = None,
    intake: Intake | None = None,
    drafts: Drafts | None = None,
    files: Files | None = None,
    catalogue: Callable[[], Catalogue] | None = None,
    ledger: LedgerDesk | None = None,
    lost: LostDesk | None = None,
    carried: Carried | None = None,
    counting: Counting | None = None,
    pausing: Pausing | None = None,
    sources: SourceDesk | None = None,
    dead_letters: DeadLetterDesk | None = None,
    sorting: Sorting | None = None,
    crm: CrmDeciding | None = None,
    numbers: Numbers | None = None,
) -> OfficeApp:
    """The office's application from its parts; see ``parts`` for what each has to do.

    ``numbers`` are the process's, to which the office adds its own.
    """
    stream, metrics, counted = Stream(clock, store.on_changes), Metrics(), numbers or Numbers()
    office = Office(
        store=store,
        master=master,
        claims=claims,
        sessions=Sessions(store, passwords, clock, ids),
        registry=Registry(store, passwords, clock, ids),
        clock=clock,
        ids=ids,
        policy=policy,
        settings=settings,
        stream=stream,
        metrics=metrics,
        numbers=counted,
        floor=floor,
        decisions=decisions,
        intake=intake,
        drafts=drafts,
        files=files,
        catalogue=catalogue,
        ledger=ledger,
        lost=lost,
        carried=carried,
        counting=counting,
        pausing=pausing,
        sources=sources,
        dead_letters=dead_letters,
        sorting=sorting,
        crm=crm,
    )
    counted.add(lambda: health.own_numbers(office))
    shared = SharedReads(office)
    return OfficeApp(_litestar(office, shared), office, shared)


def _litestar(office: Office, shared: SharedReads) -> Litestar:
    # Each asks for the one before it: Litestar would resolve independent ones in tasks of their
    # own, which costs more than everything else of a request.
    def after_office(office: OfficeDep) -> SharedReads:  # noqa: ARG001  # Asked for to come after it.
        return shared

    def after_shared(request: AnyRequest, shared: Shared) -> Session:  # noqa: ARG001  # Asked for to come after it.
        return session_of(request)

    web = WebApp(office.settings.static_dir)
    handlers = (
        *session.HANDLERS,
        *lists.HANDLERS,
        *orders.HANDLERS,
        *by_hand.HANDLERS,
        *admin.HANDLERS,
        *ledger_pages.HANDLERS,
        *destination_pages.HANDLERS,
        *source_pages.HANDLERS,
        *reconcile_pages.HANDLERS,
        *lost_pages.HANDLERS,
        *dead_letter_pages.HANDLERS,
        *letter_list.HANDLERS,
        *alert_pages.HANDLERS,
        *unknown_pages.HANDLERS,
        _stream_handler(office, shared),
    )
    staff = Router(PREFIX, route_handlers=handlers, before_request=from_our_pages)
    return Litestar(
        route_handlers=[staff, *health.HANDLERS, *description.HANDLERS, _web_handler(web)],
        dependencies={
            "office": Provide(lambda: office, sync_to_thread=False),
            "shared": Provide(after_office, sync_to_thread=False),
            "session": Provide(after_shared, sync_to_thread=False),
        },
        guards=[session_guard(office.sessions)],
        exception_handlers={Exception: _problem},
        lifespan=[_watching(office, shared)],
        openapi_config=OpenAPIConfig(
            title="orderkeep office", version="1", create_examples=False, render_plugins=[]
        ),
        request_max_body_size=None,  # Every body is read with a bound of its own.
        response_cache_config=ResponseCacheConfig(),
        logging_config=None,
        debug=False,
    )


def _watching(office: Office, shared: SharedReads) -> Callable[[Litestar], Any]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await office.registry.ensure_house()
        running = asyncio.create_task(office.stream.run(shared), name="office.stream")
        try:
            yield
        finally:
            office.stream.close()
            await running

    return lifespan


def _stream_handler(office: Office, shared: SharedReads) -> Any:
    @asgi("/board/stream", copy_scope=True)
    async def board_stream(scope: Scope, receive: Receive, send: Send) -> None:
        request: AnyRequest = Request(scope, receive, send)
        if office.stream.clients >= MAX_CLIENTS:
            raise StoreBusy("too many boards are open")
        client = Client(office.viewer(session_of(request)), token_of(request))
        again = "last-event-id" in request.headers
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        await office.stream.serve(client, shared, send, receive, again=again)

    return board_stream


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


def _web_handler(web: WebApp) -> Any:
    @get(["/", "/{path:path}"], opt={PUBLIC: True}, include_in_schema=False, sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        headers = request.headers
        accept, encodings = headers.get("accept", ""), headers.get("accept-encoding", "")
        return web.answer(request.scope["path"], accept, encodings)

    return page


def _problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Every error's answer; Litestar's own become ours."""
    request_id = request.scope.get("state", {}).get("request_id", "")
    rendered = render(_ours(error), str(request_id))
    headers = {name.decode(): value.decode() for name, value in rendered.headers}
    media_type = headers.pop("content-type")
    headers.pop("content-length", None)
    return Response(
        rendered.body, status_code=rendered.status, media_type=media_type, headers=headers
    )


def _ours(error: Exception) -> Exception:
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 404:
        return PageNotFound("There is nothing at this address.")
    if error.status_code == 405:
        allow = (error.headers or {}).get("allow", "")
        return MethodNotAllowed([one.strip() for one in allow.split(",") if one.strip()])
    return BadRequest("Not a request we can understand.")
