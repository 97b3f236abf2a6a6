"""The tray of unknown messages, and what a person decides on news that the CRM does not take."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.access.ports import Session
from orderkeep.access.rights import may, require
from orderkeep.bridge.crm import Telling
from orderkeep.bridge.crm_deciding import CrmDeciding
from orderkeep.bridge.sorting import Sorting
from orderkeep.bridge.tray import Kept, TrayState
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.lists import json
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.orders import cause_of
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.http.office.said import with_said
from orderkeep.http.office.wire import encoder
from orderkeep.http.refusals import bad_parameter
from orderkeep.intake.strict_json import MULTILINE
from orderkeep.kernel.errors import Fault, Invalid, Unavailable
from orderkeep.kernel.ids import OrderNo

VIEW, SORT, SETTLE = "unknown.view", "unknown.sort", "delivery.settle"
SHOWN = 50
PREVIEW = 2000
"""Characters of a body that a list shows; the message's own page has all that is kept."""

_Words = Annotated[str, Meta(min_length=1, max_length=500, extra=MULTILINE)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form's body."""


class GiveToOrder(_Body, frozen=True):
    """Which order it belongs to, and what is to be known of it there."""

    order_no: Annotated[str, Meta(min_length=1, max_length=32)]
    note: _Words


class PutAside(_Body, frozen=True):
    """Why it needs nothing, or why it is taken up again."""

    reason: _Words


class DecideCrm(_Body, frozen=True):
    """``again`` or ``give_up``, and why."""

    decision: Annotated[str, Meta(pattern="^(again|give_up)$")]
    reason: _Words


@get("/unknown")
async def unknown(
    office: OfficeDep,
    session: SessionDep,
    show: FromQuery[str] = "open",
    before: FromQuery[int | None] = None,
) -> Response[bytes]:
    require(session.person.role, VIEW)
    state = _state(show)

    def read(work: Any) -> tuple[Any, Any]:
        return work.tray.page(state, before, SHOWN + 1), work.tray.counts()

    page, counts = await office.store.read_long(read)
    return json(
        encoder.encode(
            {
                "items": [_shape(one, PREVIEW) for one in page[:SHOWN]],
                "next": page[SHOWN - 1].row if len(page) > SHOWN else None,
                "counts": {name: counts.get(name, 0) for name in TrayState},
                "may_sort": may(session.person.role, SORT),
                "as_of": office.clock.now(),
            }
        )
    )


@get("/unknown/{row:int}")
async def message(office: OfficeDep, session: SessionDep, row: FromPath[int]) -> Response[bytes]:
    require(session.person.role, VIEW)
    kept = await office.store.read(lambda work: work.tray.get(row))
    return json(encoder.encode(_shape(kept, None)))


@post("/unknown/{row:int}/{what:str}", status_code=200)
async def sort(
    request: AnyRequest,
    office: OfficeDep,
    session: SessionDep,
    row: FromPath[int],
    what: FromPath[str],
) -> Response[bytes]:
    require(session.person.role, SORT)
    sorting, cause = _sorting(office), cause_of(office, session, f"unknown.{what}")
    match what:
        case "give":
            given = await body_of(request, GiveToOrder)
            note = _said(given.note, "/note")
            kept = await sorting.give(row, order_number(given.order_no), cause, note)
        case "aside":
            body = await body_of(request, PutAside)
            kept = await sorting.put_aside(row, cause, _said(body.reason, "/reason"))
        case "open":
            body = await body_of(request, PutAside)
            kept = await sorting.take_up(row, cause, _said(body.reason, "/reason"))
        case _:
            raise bad_parameter("what", "unknown", "give, aside or open")
    return json(encoder.encode(_shape(kept, None)))


@get("/orders/{no:str}/crm")
async def crm(office: OfficeDep, session: SessionDep, no: FromPath[str]) -> Response[bytes]:
    """What the CRM was told of an order, and where that stands."""
    return await _crm(office, session, order_number(no))


async def _crm(office: Office, session: Session, number: OrderNo) -> Response[bytes]:
    def read(work: Any) -> dict[str, Any]:
        work.orders.history(number)  # Whether there is such an order.
        row = work.tellings.get(number)
        told = work.tellings.told(number)
        return {
            "now": _standing(row) if row else None,
            "told": [with_said(msgspec.structs.asdict(one), "detail") for one in told],
        }

    found = await office.store.read(read)
    deciding = office.crm is not None and may(session.person.role, SETTLE)
    return json(encoder.encode({**found, "may_decide": deciding, "as_of": office.clock.now()}))


def _standing(row: Telling) -> dict[str, Any]:
    return with_said({name: getattr(row, name) for name in _FACTS}, "detail")


_FACTS = ("state", "since", "told", "attempts", "next_at", "detail")


@post("/orders/{no:str}/crm", status_code=200)
async def decide_crm(
    request: AnyRequest, office: OfficeDep, session: SessionDep, no: FromPath[str]
) -> Response[bytes]:
    require(session.person.role, SETTLE)
    body, number = await body_of(request, DecideCrm), order_number(no)
    by, why = session.person.login, _said(body.reason, "/reason")
    await _deciding(office).decide(number, body.decision, by, why)
    return await _crm(office, session, number)


def _said(text: str, pointer: str) -> str:
    if not text.strip():
        raise Invalid([Fault(pointer, "missing", "a few words, for whoever looks at it later")])
    return text.strip()


def _state(show: str) -> TrayState | None:
    if show != "all" and show not in set(TrayState):
        raise bad_parameter("show", "unknown", f"all, {', '.join(TrayState)}")
    return None if show == "all" else TrayState(show)


def _sorting(office: Office) -> Sorting:
    if office.sorting is None:
        raise Unavailable("The tray is not worked on in this process.")
    return office.sorting


def _deciding(office: Office) -> CrmDeciding:
    if office.crm is None:
        raise Unavailable("There is no CRM here.")
    return office.crm


def _shape(one: Kept, most: int | None) -> dict[str, Any]:
    facts = {name: getattr(one, name) for name in one.__struct_fields__ if name != "body"}
    body = one.body.decode(errors="replace")
    reason, _, detail = one.why.partition(": ")
    told = {"reason": reason, "detail": detail or None, "body": body[:most]}
    return with_said(facts | told, "detail")


HANDLERS = (unknown, message, sort, crm, decide_crm)
