"""The board's lists: pages, counts, approvals, search, saved views, who works on what."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, put
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.access.ports import SavedView, Session
from orderkeep.access.rights import Role, may
from orderkeep.board.filters import decode_cursor, encode_cursor, parse
from orderkeep.board.ports import Found, Page, Searched, Wanted
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.by_hand import own_drafts
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.pages import approval_shape
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.http.office.shared import Shared
from orderkeep.http.office.wire import facts, row_shape
from orderkeep.http.refusals import bad_parameter
from orderkeep.intake.drafts import WrittenDraft
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.view import BoardRow

_JSON = "application/json"
_APPROVALS = 20
_SEARCHED = 20
_SEARCH_LASTS = timedelta(seconds=1)
_MIN_TEXT = 3


def json(body: bytes) -> Response[bytes]:
    """An answer that is encoded already; it is one person's and may not be kept by anybody."""
    return Response(body, media_type=_JSON, headers={"cache-control": "no-store"})


@get("/board")
async def board(
    request: AnyRequest, office: OfficeDep, shared: Shared, session: SessionDep
) -> Response[bytes]:
    query = parse(dict(request.query_params.items()), session.person.login)
    return json(await shared.page(query, office.viewer(session)))


@get("/board/counts")
async def counts(shared: Shared, session: SessionDep) -> Response[bytes]:
    return json(bytes(await shared.counts(session.person.login)))


@get("/approvals")
async def approvals(
    office: OfficeDep, shared: Shared, session: SessionDep, after: FromQuery[str | None] = None
) -> Response[bytes]:
    try:
        cursor = decode_cursor(after) if after else None
    except ValueError as error:
        raise bad_parameter("after", "cursor", "take it from the page before") from error
    names = await shared.names()
    viewer = office.viewer(session)

    def query(work: Any) -> tuple[Page, list[Any]]:
        page = work.board.approvals(cursor, _APPROVALS)
        items = [
            approval_shape(
                row_shape(row, names, viewer),
                rebuild(work.orders.history(row.order_no)),
                work.board.submitted(row.order_no),
                session.person.role,
            )
            for row in page.rows
        ]
        return page, items

    # Rebuilding twenty orders takes longer than anybody on the loop should wait.
    page, items = await office.store.read_long(query)
    following = encode_cursor(page.next) if page.next else None
    return json(facts(items=items, next=following, as_of=office.clock.now()))


@get("/search")
async def search(
    office: OfficeDep, shared: Shared, session: SessionDep, q: FromQuery[str] = ""
) -> Response[bytes]:
    text = q.strip()[:100]
    found = await _search(office, session, text) if text else Searched([], partial=False)
    names, viewer = await shared.names(), office.viewer(session)
    rows = {
        one.order_no: await office.store.read(partial(_row, no=one.order_no)) for one in found.found
    }
    items = [
        {
            "kind": "order",
            "order_no": one.order_no,
            "why": one.why,
            "row": row_shape(row, names, viewer),
        }
        for one in found.found
        if (row := rows[one.order_no]) is not None
    ]
    return json(facts(items=items, partial=found.partial, misread=_is_misread(text)))


def _row(work: Any, no: OrderNo) -> BoardRow | None:
    row: BoardRow | None = work.board.row(no)
    return row


async def _search(office: Office, session: Session, text: str) -> Searched:
    n = order_n(text)
    if n is not None:
        no = order_no(n)
        row = await office.store.read(lambda work: work.board.row(no))
        return Searched([Found(no, "order_no")] if row else [], partial=False)
    by_ref = await office.store.read(lambda work: work.board.search_refs(text, _SEARCHED))
    if len(by_ref) >= _SEARCHED or len(text) < _MIN_TEXT:
        return Searched(by_ref, partial=len(by_ref) >= _SEARCHED)
    wanted = Wanted(
        text=text.casefold(),
        contacts=may(session.person.role, "contact.view"),
        limit=_SEARCHED - len(by_ref),
        deadline=_SEARCH_LASTS,
    )
    newest = await office.store.read_long(lambda work: work.board.search_newest(wanted))
    known = {one.order_no for one in by_ref}
    others = [one for one in newest.found if one.order_no not in known]
    return Searched([*by_ref, *others], partial=newest.partial)


def _is_misread(text: str) -> bool:
    """Whether it looks like an order number but its check digit is wrong."""
    digits = text.upper().removeprefix("OK-")
    like_one = digits.isascii() and digits.isdecimal() and len(digits) > 5
    return like_one and order_n(text) is None


# --- saved views --------------------------------------------------------------------------------


class ViewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    query: Annotated[str, Meta(max_length=2000)]


@get("/views")
async def views(office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    kept = await office.store.read(lambda work: work.access.views(session.person.id))
    return {"items": list(kept), "next": None}


@put("/views")
async def save_view(request: AnyRequest, office: OfficeDep, session: SessionDep) -> SavedView:
    body = await body_of(request, ViewBody)
    now = office.clock.now()
    view = SavedView(office.ids.token(16), body.name.strip(), body.query)
    kept: SavedView = await office.store.write(
        lambda work: work.access.save_view(session.person.id, view, now)
    )
    return kept


@delete("/views/{view_id:str}", status_code=204)
async def delete_view(office: OfficeDep, session: SessionDep, view_id: FromPath[str]) -> None:
    await office.store.write(lambda work: work.access.delete_view(session.person.id, view_id))


# --- drafts: what I have begun --------------------------------------------------------------------


@get("/drafts")
async def drafts(
    office: OfficeDep, session: SessionDep, after: FromQuery[str | None] = None
) -> Response[bytes]:
    behind = order_number(after) if after else None
    page = await own_drafts(office, session).of(session.person.login, behind)
    items = [_draft(*one) for one in page.drafts]
    return json(facts(items=items, next=page.next, total=page.total))


@get("/drafts/{no:str}")
async def draft(office: OfficeDep, session: SessionDep, no: FromPath[str]) -> Response[bytes]:
    found = await own_drafts(office, session).one(session.person.login, order_number(no))
    return json(facts(**_draft(*found)))


def _draft(one: WrittenDraft, files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "order_no": one.no,
        "version": one.version,
        "at": one.written_at,
        "body": msgspec.Raw(one.body),
        "files": files,
    }


# --- people at work -----------------------------------------------------------------------------


@get("/operators")
async def operators(office: OfficeDep) -> dict[str, Any]:
    def query(work: Any) -> list[dict[str, Any]]:
        return [
            {
                "login": person.login,
                "name": person.name,
                "in_work": work.board.in_work(person.login),
            }
            for person in work.access.people()
            if person.role in {Role.OPERATOR, Role.HEAD} and person.disabled_at is None
        ]

    return {"items": await office.store.read(query), "next": None}


HANDLERS = (
    board,
    counts,
    approvals,
    search,
    views,
    save_view,
    delete_view,
    drafts,
    draft,
    operators,
)
