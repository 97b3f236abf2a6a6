"""Orders that other systems lost: a table comes in, and somebody works through the list."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.access.rights import require
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.lists import json
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.parts import LostDesk, Office, OfficeDep, SessionDep
from orderkeep.http.office.wire import encoder
from orderkeep.http.refusals import BodyTooLarge, bad_parameter
from orderkeep.intake.strict_json import MULTILINE
from orderkeep.kernel.errors import Fault, Invalid, Unavailable
from orderkeep.ledger.lost import MAX_BYTES, read_csv
from orderkeep.ledger.lost_list import Entry, Imported, LostState

SHOWN = 50
_SOURCE = 64


class SettleLost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a lost order; ``open`` opens it again."""

    version: Annotated[int, Meta(ge=1)]
    state: Annotated[str, Meta(pattern="^(open|brought_back|given_up)$")]
    order_no: Annotated[str, Meta(max_length=32)] | None = None
    reason: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


def _desk(office: Office) -> LostDesk:
    if office.lost is None:
        raise Unavailable("No lost orders are kept in this process.")
    return office.lost


@get("/lost")
async def lost(
    office: OfficeDep,
    session: SessionDep,
    show: FromQuery[str] = "open",
    after: FromQuery[int | None] = None,
    q: FromQuery[str] = "",
) -> Response[bytes]:
    require(session.person.role, "lost.settle")
    desk, chosen = _desk(office), None if show == "all" else show

    def read(work: Any) -> tuple[Any, Any]:
        page = work.lost.page(chosen, after, SHOWN + 1, q.strip()[:100])
        return page, work.lost.counts()

    page, counts = await office.store.read_long(read)
    following = page[SHOWN - 1].row if len(page) > SHOWN else None
    return json(
        encoder.encode(
            {
                "items": [_entry(one) for one in page[:SHOWN]],
                "next": following,
                "counts": counts,
                "view": desk.view_name,
                "as_of": office.clock.now(),
            }
        )
    )


@post("/lost/import", status_code=200)
async def import_csv(
    request: AnyRequest,
    office: OfficeDep,
    session: SessionDep,
    source: FromQuery[str] = "",
    dry_run: FromQuery[str] = "",
) -> Imported:
    require(session.person.role, "lost.import")
    desk, name = _desk(office), _source(source)
    table = read_csv(await _csv_body(request))
    by = f"person:{session.person.login}"
    return await desk.worklist.take(table, name, by, dry_run=bool(dry_run))


@post("/lost/read-view", status_code=200)
async def read_view(
    office: OfficeDep, session: SessionDep, dry_run: FromQuery[str] = ""
) -> Imported:
    require(session.person.role, "lost.import")
    desk = _desk(office)
    if desk.view is None or desk.view_name is None:
        raise Unavailable("No other system's database is set up.")
    by = f"person:{session.person.login}"
    return await desk.worklist.take(await desk.view(), desk.view_name, by, dry_run=bool(dry_run))


def _source(text: str) -> str:
    name = text.strip()
    if not (0 < len(name) <= _SOURCE and name.isprintable()):
        raise bad_parameter("source", "length", f"the other system's name, up to {_SOURCE} letters")
    return name


async def _csv_body(request: AnyRequest) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise BodyTooLarge(MAX_BYTES)
        chunks.append(chunk)
    return b"".join(chunks)


@post("/lost/{row:int}/settle", status_code=200)
async def settle(
    request: AnyRequest, office: OfficeDep, session: SessionDep, row: FromPath[int]
) -> Response[bytes]:
    require(session.person.role, "lost.settle")
    desk, body = _desk(office), await body_of(request, SettleLost)
    state = LostState(body.state)
    if state is LostState.BROUGHT_BACK and not body.order_no:
        raise Invalid([Fault("/order_no", "missing", "the number of the order it came back as")])
    if state is LostState.GIVEN_UP and not body.reason.strip():
        raise Invalid([Fault("/reason", "missing", "why it is given up")])
    settled = await desk.worklist.settle(
        row,
        body.version,
        state,
        f"person:{session.person.login}",
        order_no=order_number(body.order_no) if body.order_no else None,
        reason=body.reason.strip() or None,
    )
    return json(encoder.encode(_entry(settled)))


def _entry(one: Entry) -> dict[str, Any]:
    shown = {name: getattr(one, name) for name in one.__struct_fields__ if name != "order"}
    order = {name: getattr(one.order, name) for name in one.order.__struct_fields__}
    return shown | order


HANDLERS = (lost, import_csv, read_view, settle)
