"""Foreign systems: how each is doing, and a person who pauses one or lets it in again."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import FromPath
from msgspec import Meta

from orderkeep.access.ports import Session
from orderkeep.access.rights import may, require
from orderkeep.bridge.pausing import Pausing, Shown
from orderkeep.bridge.work import MANY_WAIT
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.kernel.errors import Unavailable

RIGHT = "destination.pause"


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is paused, or let in again; everybody reads it."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


@get("/destinations")
async def destinations(office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    # Everybody sees it: whoever looks at an order has to know why it does not move.
    return await _all(office, session)


@post("/destinations/{name:str}/pause", status_code=200)
async def pause(
    request: AnyRequest, office: OfficeDep, session: SessionDep, name: FromPath[str]
) -> dict[str, Any]:
    require(session.person.role, RIGHT)
    why = await body_of(request, Why)
    await _pausing(office).pause(name, session.person.login, why.reason)
    return await _all(office, session)


@post("/destinations/{name:str}/resume", status_code=200)
async def resume(
    request: AnyRequest, office: OfficeDep, session: SessionDep, name: FromPath[str]
) -> dict[str, Any]:
    require(session.person.role, RIGHT)
    why = await body_of(request, Why)
    await _pausing(office).resume(name, session.person.login, why.reason)
    return await _all(office, session)


async def _all(office: Office, session: Session) -> dict[str, Any]:
    shown = await office.pausing.all() if office.pausing else ()
    return {
        "at": office.clock.now(),
        "may_pause": _may(session),
        "items": [_shape(one) for one in shown],
    }


def _may(session: Session) -> bool:
    return may(session.person.role, RIGHT)


def _pausing(office: Office) -> Pausing:
    if office.pausing is None:
        raise Unavailable("No foreign system is served here.")
    return office.pausing


def _shape(one: Shown) -> dict[str, Any]:
    state = one.state
    return {
        "name": one.name,
        "title": one.terms.title or one.name,
        "condition": state.condition,
        "since": state.since,
        "until": state.until,
        "by": state.by,
        "why": state.why,
        "waiting": one.waiting,
        "waiting_more": one.waiting >= MANY_WAIT,
        "most": one.terms.bounds.most,
    }


HANDLERS = (destinations, pause, resume)
