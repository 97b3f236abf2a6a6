"""Signing in and out, and who I am."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, delete, get, patch, post
from msgspec import Meta

from orderkeep.access.people import Person
from orderkeep.access.ports import PersonChange
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import PUBLIC, AnyRequest, session_cookie, token_of
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.http.peers import LOOPBACK, peer_of


class SignInBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    login: Annotated[str, Meta(min_length=1, max_length=64)]
    password: Annotated[str, Meta(min_length=1, max_length=200)]


class MeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    locale: Annotated[str, Meta(pattern="^(ru|en)$")]


class Me(msgspec.Struct, frozen=True):
    """Who I am and what I may do."""

    id: str
    login: str
    name: str
    role: str
    locale: str
    can: list[str]
    mes: str
    board_read_only: bool
    time: datetime


@post("/session", status_code=200, opt={PUBLIC: True})
async def sign_in(request: AnyRequest, office: OfficeDep) -> Response[Me]:
    body = await body_of(request, SignInBody)
    address = request.client.host if request.client else LOOPBACK
    peer = peer_of(office.settings.proxies.caller(address, request.scope["headers"]))
    opened = await office.sessions.sign_in(body.login, body.password, peer)
    cookie = session_cookie(opened.token, secure=office.settings.secure_cookies)
    return Response(_me(opened.person, office), cookies=[cookie])


@delete("/session", status_code=204)
async def sign_out(request: AnyRequest, office: OfficeDep) -> Response[None]:
    await office.sessions.sign_out(token_of(request))
    cookie = session_cookie("", secure=office.settings.secure_cookies)
    return Response(None, cookies=[cookie])


@get("/me")
async def me(office: OfficeDep, session: SessionDep) -> Me:
    return _me(session.person, office)


@patch("/me")
async def change_me(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Me:
    body = await body_of(request, MeBody)
    change = PersonChange(locale=body.locale)
    actor = f"person:{session.person.login}"
    person = await office.registry.change_person(actor, session.person.id, change)
    return _me(person, office)


def _me(person: Person, office: Office) -> Me:
    return Me(
        id=person.id,
        login=person.login,
        name=person.name,
        role=str(person.role),
        locale=person.locale,
        can=person.can,
        mes=office.settings.mes,
        board_read_only=office.read_only,
        time=office.clock.now(),
    )


HANDLERS = (sign_in, sign_out, me, change_me)
