"""People, partners, keys and the balance."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath
from msgspec import Meta

from orderkeep.access.keys import OFFICE, ApiKey, Partner, Quota, parse_quota
from orderkeep.access.people import Person
from orderkeep.access.ports import PersonChange, Session
from orderkeep.access.rights import Role, require
from orderkeep.http.office.acts import amount
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.parts import OfficeDep, SessionDep
from orderkeep.kernel.ids import PartnerId, PersonId

_Role = Annotated[str, Meta(pattern="^(seller|operator|head|support|admin)$")]
_Locale = Annotated[str, Meta(pattern="^(ru|en)$")]
_Password = Annotated[str, Meta(min_length=10, max_length=200)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A form's body."""


class NewPerson(_Body, frozen=True):
    login: Annotated[str, Meta(min_length=1, max_length=64)]
    name: _Name
    role: _Role
    password: _Password
    locale: _Locale = "ru"


class ChangedPerson(_Body, frozen=True):
    name: _Name | None = None
    role: _Role | None = None
    locale: _Locale | None = None
    password: _Password | None = None
    active: bool | None = None


class NewPartner(_Body, frozen=True):
    name: _Name
    auto_approve_below: Annotated[str, Meta(max_length=20)] | None = None


class NewKey(_Body, frozen=True):
    rate: Annotated[str, Meta(max_length=20)] | None = None


class PersonShape(msgspec.Struct, frozen=True):
    id: str
    login: str
    name: str
    role: str
    locale: str
    created_at: datetime
    active: bool


class KeyShape(msgspec.Struct, frozen=True):
    """A key's beginning and quota; the key itself is told once, when it is made."""

    id: str
    prefix: str
    rate: int
    per_seconds: int
    created_at: datetime
    revoked_at: datetime | None


class PartnerShape(msgspec.Struct, frozen=True):
    id: str
    name: str
    auto_approve_below: Decimal | None
    created_at: datetime
    disabled_at: datetime | None
    keys: list[KeyShape]


class FreshKey(msgspec.Struct, frozen=True):
    """The only answer that holds a key."""

    id: str
    key: str


@get("/people")
async def people(office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    require(session.person.role, "people.manage")
    return {"items": [_person(one) for one in await office.registry.people()], "next": None}


@post("/people")
async def add_person(request: AnyRequest, office: OfficeDep, session: SessionDep) -> PersonShape:
    require(session.person.role, "people.manage")
    body = await body_of(request, NewPerson)
    person = await office.registry.add_person(
        _actor(session),
        login=body.login,
        name=body.name,
        role=body.role,
        locale=body.locale,
        password=body.password,
    )
    return _person(person)


@patch("/people/{person_id:str}")
async def change_person(
    request: AnyRequest, office: OfficeDep, session: SessionDep, person_id: FromPath[str]
) -> PersonShape:
    require(session.person.role, "people.manage")
    body = await body_of(request, ChangedPerson)
    role = Role(body.role) if body.role else None
    disabled = None if body.active is None else not body.active
    change = PersonChange(body.name, role, body.locale, None, disabled)
    person = await office.registry.change_person(
        _actor(session), PersonId(person_id), change, body.password
    )
    return _person(person)


@get("/partners")
async def partners(office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    require(session.person.role, "partners.manage")
    known = await office.registry.partners()
    others = [_partner(one, keys) for one, keys in known if one.id != OFFICE]
    return {"items": others, "next": None}


@post("/partners")
async def add_partner(request: AnyRequest, office: OfficeDep, session: SessionDep) -> PartnerShape:
    require(session.person.role, "partners.manage")
    body = await body_of(request, NewPartner)
    below = amount(body.auto_approve_below) if body.auto_approve_below else None
    return _partner(await office.registry.add_partner(_actor(session), body.name, below), ())


@post("/partners/{partner_id:str}/keys")
async def add_key(
    request: AnyRequest, office: OfficeDep, session: SessionDep, partner_id: FromPath[str]
) -> FreshKey:
    require(session.person.role, "partners.manage")
    body = await body_of(request, NewKey)
    quota = parse_quota(body.rate) if body.rate else Quota()
    key, kept = await office.registry.create_key(_actor(session), PartnerId(partner_id), quota)
    return FreshKey(kept.id, key)


@delete("/keys/{key_id:str}", status_code=204)
async def revoke_key(office: OfficeDep, session: SessionDep, key_id: FromPath[str]) -> None:
    require(session.person.role, "partners.manage")
    await office.registry.revoke_key(_actor(session), key_id)


def _actor(session: Session) -> str:
    return f"person:{session.person.login}"


def _person(person: Person) -> PersonShape:
    return PersonShape(
        person.id,
        person.login,
        person.name,
        str(person.role),
        person.locale,
        person.created_at,
        person.disabled_at is None,
    )


def _partner(partner: Partner, keys: Any) -> PartnerShape:
    return PartnerShape(
        partner.id,
        partner.name,
        partner.auto_approve_below,
        partner.created_at,
        partner.disabled_at,
        [_key(key) for key in keys],
    )


def _key(key: ApiKey) -> KeyShape:
    quota = key.quota
    return KeyShape(key.id, key.hint, quota.rate, quota.per_seconds, key.created_at, key.revoked_at)


HANDLERS = (
    people,
    add_person,
    change_person,
    partners,
    add_partner,
    add_key,
    revoke_key,
)
