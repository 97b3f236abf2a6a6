"""Present systems that orders are taken over from: how far each is, and the steps of a person."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.access.ports import Session
from orderkeep.access.rights import may, require
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep, SourceDesk
from orderkeep.http.office.said import said
from orderkeep.http.refusals import bad_parameter
from orderkeep.intake.homes import CHANNEL
from orderkeep.intake.modes import Mode, way_on, ways_back
from orderkeep.intake.roads import DatabaseRoad, QueueRoad, Road
from orderkeep.intake.shadow import Comparison, ShadowOrder
from orderkeep.intake.taking_over import Shown
from orderkeep.kernel.errors import Unavailable
from orderkeep.orders.home import Home

VIEW, MOVE = "sources.view", "sources.move"
SHOWN = 50

_Why = Annotated[str, Meta(min_length=1, max_length=500)]


class TakeStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to, and why; of a database a person says that nobody else takes orders from it."""

    to: Mode
    reason: _Why
    old_road_closed: bool = False


class MoveHome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the source's orders live from now on, and why."""

    home: Home
    reason: _Why


@get("/sources")
async def sources(office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    require(session.person.role, VIEW)
    return await _all(office, session)


@get("/sources/{name:str}/orders")
async def compared(
    office: OfficeDep,
    session: SessionDep,
    name: FromPath[str],
    show: FromQuery[str | None] = None,
    before: FromQuery[int | None] = None,
) -> dict[str, Any]:
    require(session.person.role, VIEW)
    page = await _desk(office).over.orders(name, _state(show), before, SHOWN + 1)
    return {
        "items": [_order(one) for one in page[:SHOWN]],
        "next": page[SHOWN - 1].row if len(page) > SHOWN else None,
        "as_of": office.clock.now(),
    }


@post("/sources/{name:str}/step", status_code=200)
async def step(
    request: AnyRequest, office: OfficeDep, session: SessionDep, name: FromPath[str]
) -> dict[str, Any]:
    require(session.person.role, MOVE)
    asked = await body_of(request, TakeStep)
    await _desk(office).over.move(
        name, asked.to, session.person.login, asked.reason, old_road_closed=asked.old_road_closed
    )
    return await _all(office, session)


@post("/sources/{name:str}/home", status_code=200)
async def move_home(
    request: AnyRequest, office: OfficeDep, session: SessionDep, name: FromPath[str]
) -> dict[str, Any]:
    require(session.person.role, MOVE)
    asked = await body_of(request, MoveHome)
    desk = _desk(office)
    desk.over.source(name)
    await desk.moving.put(CHANNEL, name, asked.home, session.person.login, asked.reason)
    return await _all(office, session)


async def _all(office: Office, session: Session) -> dict[str, Any]:
    shown = await office.sources.over.all() if office.sources else ()
    return {
        "at": office.clock.now(),
        "may_move": may(session.person.role, MOVE),
        "items": [_source(one) for one in shown],
    }


def _source(one: Shown) -> dict[str, Any]:
    state = one.state
    return {
        "name": one.source.name,
        "partner": one.source.partner,
        "home": one.home,
        "road": _road(one.source.road),
        "mode": state.mode,
        "takes": state.takes,
        "since": state.since,
        "by": state.by or None,
        "because": state.because or None,
        "settling": state.is_settling,
        "seen_at": state.seen_at,
        "last_at": state.last_at,
        "trouble": state.trouble,
        "said": said(state.trouble),
        "next": way_on(state.mode),
        "back": ways_back(state.mode),
        "tapped": one.tapped,
        "compared": one.compared,
        "taken": one.counts,
        "left": one.left,
        "last_difference": one.last_difference and _order(one.last_difference),
    }


def _road(road: Road | None) -> dict[str, Any] | None:
    """Where it hands over, without any address: those hold passwords."""
    match road:
        case QueueRoad():
            return {"kind": "queue", "name": road.queue}
        case DatabaseRoad():
            return {"kind": "database", "name": road.cursor}
        case None:
            return None


def _order(one: ShadowOrder) -> dict[str, Any]:
    return {
        "number": one.client_ref,
        "at": one.at,
        "verdict": one.verdict,
        "why": one.why,
        "state": one.state,
        "detail": one.detail,
        "said": said(one.detail),
        "mes_id": one.mes_id,
    }


def _state(show: str | None) -> Comparison | None:
    if show is None:
        return None
    try:
        return Comparison(show)
    except ValueError as unknown:
        raise bad_parameter("show", "unknown", "waiting, same, missing or differs") from unknown


def _desk(office: Office) -> SourceDesk:
    if office.sources is None:
        raise Unavailable("No source is served here.")
    return office.sources


HANDLERS = (sources, compared, step, move_home)
