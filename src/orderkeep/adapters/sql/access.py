"""People, sessions, partners, keys, views and the audit: one text for both databases.

The session of every request and the key of every call are asked for on the bare
driver, and so are the names that every list shows.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from orderkeep.access.keys import (
    ApiKey,
    KeyHolder,
    KeyNotFound,
    Partner,
    PartnerNameTaken,
    PartnerNotFound,
    Quota,
)
from orderkeep.access.people import LoginTaken, Person, PersonNotFound
from orderkeep.access.ports import Credentials, PersonChange, SavedView, Session, TooManyViews
from orderkeep.access.rights import Role
from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.adapters.sql.tables import (
    api_keys,
    audit,
    partners,
    people,
    saved_views,
    sessions,
)
from orderkeep.kernel.ids import PartnerId, PersonId

MAX_VIEWS = 50

_SESSION = (
    "SELECT p.id, p.login, p.name, p.role, p.locale, p.created_at, s.expires_at"
    " FROM sessions s JOIN people p ON p.id = s.person_id"
    " WHERE s.token_sha256 = ? AND s.expires_at > ? AND p.disabled_at IS NULL"
)
_PEOPLE_NAMES = "SELECT login, name FROM people"
_PARTNER_NAMES = "SELECT id, name FROM partners"
# Every order that is priced asks for it.
_PARTNER = "SELECT id, name, auto_approve_below, created_at, disabled_at FROM partners WHERE id = ?"
_OPEN = "SELECT 1 FROM sessions WHERE token_sha256 = ? AND expires_at > ?"
_KEY_HOLDER = (
    "SELECT k.id, p.id, p.name, k.rate, k.per_seconds, p.auto_approve_below"
    " FROM api_keys k JOIN partners p ON p.id = k.partner_id"
    " WHERE k.key_sha256 = ? AND k.revoked_at IS NULL AND p.disabled_at IS NULL"
)


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def connection(self) -> Connection: ...


class SqlAccess:
    """Implements ``access.ports.AccessStore``."""

    def __init__(self, work: _Work) -> None:
        self._work = work

    # --- people -----------------------------------------------------------------------------

    def credentials(self, login: str) -> Credentials | None:
        row = self._first(select(people).where(people.c.login == login))
        return Credentials(_person(row), row.password_hash) if row else None

    def person(self, person_id: PersonId) -> Person:
        row = self._first(select(people).where(people.c.id == person_id))
        if row is None:
            raise PersonNotFound("there is no such person")
        return _person(row)

    def people(self) -> Sequence[Person]:
        return [_person(row) for row in self._all(select(people).order_by(people.c.login))]

    def names(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        raw = self._work.raw
        return dict(raw.execute(_PEOPLE_NAMES)), dict(raw.execute(_PARTNER_NAMES))

    def add_person(self, person: Person, password_hash: str) -> None:
        values = {
            "id": person.id,
            "login": person.login,
            "name": person.name,
            "role": str(person.role),
            "password_hash": password_hash,
            "locale": person.locale,
            "created_at": person.created_at,
        }
        try:
            self._work.connection.execute(insert(people).values(values))
        except IntegrityError as error:
            raise LoginTaken("another person has this login") from error

    def change_person(self, person_id: PersonId, change: PersonChange, now: datetime) -> Person:
        self.person(person_id)
        values = _changes(change, now)
        if values:
            self._work.connection.execute(
                update(people).where(people.c.id == person_id).values(values)
            )
        if values.keys() & {"role", "password_hash", "disabled_at"}:
            self._work.connection.execute(delete(sessions).where(sessions.c.person_id == person_id))
        return self.person(person_id)

    # --- sessions ---------------------------------------------------------------------------

    def open_session(
        self, token_sha256: str, person_id: PersonId, now: datetime, expires_at: datetime
    ) -> None:
        values = {
            "token_sha256": token_sha256,
            "person_id": person_id,
            "created_at": now,
            "expires_at": expires_at,
        }
        self._work.connection.execute(insert(sessions).values(values))

    def session(self, token_sha256: str, now: datetime) -> Session | None:
        row = self._work.raw.execute(_SESSION, (token_sha256, to_micros(now))).fetchone()
        if row is None:
            return None
        id_, login, name, role, locale, created_at, expires_at = row
        person = Person(id_, login, name, Role(role), locale, from_micros(created_at))
        return Session(person, from_micros(expires_at))

    def session_is_open(self, token_sha256: str, now: datetime) -> bool:
        found = self._work.raw.execute(_OPEN, (token_sha256, to_micros(now)))
        return found.fetchone() is not None

    def extend_session(self, token_sha256: str, expires_at: datetime) -> None:
        self._work.connection.execute(
            update(sessions)
            .where(sessions.c.token_sha256 == token_sha256)
            .values(expires_at=expires_at)
        )

    def end_session(self, token_sha256: str) -> None:
        self._work.connection.execute(
            delete(sessions).where(sessions.c.token_sha256 == token_sha256)
        )

    def forget_sessions(self, now: datetime) -> int:
        ended = delete(sessions).where(sessions.c.expires_at <= now)
        return self._work.connection.execute(ended).rowcount

    # --- partners and keys ------------------------------------------------------------------

    def partners(self) -> Sequence[Partner]:
        return [_partner(row) for row in self._all(select(partners).order_by(partners.c.name))]

    def partner(self, partner_id: PartnerId) -> Partner:
        row = self._work.raw.execute(_PARTNER, (partner_id,)).fetchone()
        if row is None:
            raise PartnerNotFound("there is no such partner")
        own_id, name, below, created_at, disabled_at = row
        return Partner(
            PartnerId(own_id),
            name,
            None if below is None else Decimal(below),
            from_micros(created_at),
            None if disabled_at is None else from_micros(disabled_at),
        )

    def partner_named(self, name: str) -> Partner | None:
        row = self._first(select(partners).where(partners.c.name == name))
        return _partner(row) if row else None

    def add_partner(self, partner: Partner) -> None:
        values = {
            "id": partner.id,
            "name": partner.name,
            "auto_approve_below": partner.auto_approve_below,
            "created_at": partner.created_at,
        }
        try:
            self._work.connection.execute(insert(partners).values(values))
        except IntegrityError as error:
            raise PartnerNameTaken("another partner has this name") from error

    def change_partner(self, partner_id: PartnerId, auto_approve_below: Decimal | None) -> None:
        self._work.connection.execute(
            update(partners)
            .where(partners.c.id == partner_id)
            .values(auto_approve_below=auto_approve_below)
        )

    def keys(self, partner_id: PartnerId | None = None) -> Sequence[ApiKey]:
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        if partner_id is not None:
            query = query.where(api_keys.c.partner_id == partner_id)
        return [_key(row) for row in self._all(query)]

    def add_key(self, key: ApiKey, key_sha256: str) -> None:
        values = {
            "id": key.id,
            "partner_id": key.partner_id,
            "key_sha256": key_sha256,
            "hint": key.hint,
            "rate": key.quota.rate,
            "per_seconds": key.quota.per_seconds,
            "created_at": key.created_at,
        }
        self._work.connection.execute(insert(api_keys).values(values))

    def revoke_key(self, key_id: str, now: datetime) -> ApiKey:
        revoked = self._work.connection.execute(
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(*api_keys.c)
        ).first()
        if revoked is None:
            raise KeyNotFound("there is no such key, or it is revoked already")
        return _key(revoked)

    def key_holder(self, key_sha256: str) -> KeyHolder | None:
        row = self._work.raw.execute(_KEY_HOLDER, (key_sha256,)).fetchone()
        if row is None:
            return None
        key_id, partner_id, name, rate, per_seconds, below = row
        limit = None if below is None else Decimal(below)
        return KeyHolder(key_id, partner_id, name, Quota(rate, per_seconds), limit)

    # --- views ------------------------------------------------------------------------------

    def views(self, person_id: PersonId) -> Sequence[SavedView]:
        query = (
            select(saved_views)
            .where(saved_views.c.person_id == person_id)
            .order_by(saved_views.c.at, saved_views.c.id)
        )
        return [SavedView(row.id, row.name, row.query) for row in self._all(query)]

    def save_view(self, person_id: PersonId, view: SavedView, now: datetime) -> SavedView:
        known = self.views(person_id)
        for old in known:
            if old.name == view.name:
                self._work.connection.execute(
                    update(saved_views).where(saved_views.c.id == old.id).values(query=view.query)
                )
                return SavedView(old.id, view.name, view.query)
        if len(known) >= MAX_VIEWS:
            raise TooManyViews(f"delete one first: {MAX_VIEWS} views is all", limit=MAX_VIEWS)
        values = {
            "id": view.id,
            "person_id": person_id,
            "name": view.name,
            "query": view.query,
            "at": now,
        }
        self._work.connection.execute(insert(saved_views).values(values))
        return view

    def delete_view(self, person_id: PersonId, view_id: str) -> None:
        self._work.connection.execute(
            delete(saved_views).where(
                saved_views.c.id == view_id, saved_views.c.person_id == person_id
            )
        )

    # --- audit ------------------------------------------------------------------------------

    def record(
        self, at: datetime, actor: str, action: str, subject: str, detail: str | None = None
    ) -> None:
        values = {
            "at": at,
            "actor": actor,
            "action": action,
            "subject": subject,
            "detail": detail,
        }
        self._work.connection.execute(insert(audit).values(values))

    def _first(self, query: Select[Any]) -> Row[Any] | None:
        return self._work.connection.execute(query).first()

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return self._work.connection.execute(query).all()


def _person(row: Row[Any]) -> Person:
    return Person(
        PersonId(row.id),
        row.login,
        row.name,
        Role(row.role),
        row.locale,
        row.created_at,
        row.disabled_at,
    )


def _partner(row: Row[Any]) -> Partner:
    return Partner(
        PartnerId(row.id), row.name, row.auto_approve_below, row.created_at, row.disabled_at
    )


def _key(row: Row[Any]) -> ApiKey:
    quota = Quota(row.rate, row.per_seconds)
    return ApiKey(
        row.id, PartnerId(row.partner_id), row.hint, quota, row.created_at, row.revoked_at
    )


def _changes(change: PersonChange, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": change.name,
        "role": str(change.role) if change.role else None,
        "locale": change.locale,
        "password_hash": change.password_hash,
    }
    told = {column: value for column, value in values.items() if value is not None}
    if change.disabled is not None:
        told["disabled_at"] = now if change.disabled else None
    return told
