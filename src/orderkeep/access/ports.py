"""What access asks of the store, and of whoever hashes passwords."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from orderkeep.access.keys import ApiKey, KeyHolder, Partner
from orderkeep.access.people import Person
from orderkeep.access.rights import Role
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import PartnerId, PersonId


class TooManyViews(Refused):
    """A person may keep only so many views."""


class Credentials(msgspec.Struct, frozen=True):
    """A person and the hash of their password."""

    person: Person
    password_hash: str


class Session(msgspec.Struct, frozen=True):
    """A signed-in person; the token itself is only in their browser."""

    person: Person
    expires_at: datetime


class SavedView(msgspec.Struct, frozen=True):
    """A filter a person gave a name."""

    id: str
    name: str
    query: str


class PersonChange(msgspec.Struct, frozen=True):
    """What is to change of a person; None leaves it."""

    name: str | None = None
    role: Role | None = None
    locale: str | None = None
    password_hash: str | None = None
    disabled: bool | None = None


class Passwords(Protocol):
    """Slow hashing of passwords, away from the event loop, a few at a time."""

    async def hash(self, password: str) -> str:
        """A salted hash that can be kept."""
        ...

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the hashed one; None (no such person) takes as long and is False.

        Raises:
            Unavailable: too many are waiting already.
        """
        ...


class AccessStore(Protocol):
    """People, sessions, partners, keys, views, audit."""

    def credentials(self, login: str) -> Credentials | None: ...

    def person(self, person_id: PersonId) -> Person:
        """One person.

        Raises:
            PersonNotFound: there is none.
        """
        ...

    def people(self) -> Sequence[Person]: ...

    def names(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What everybody is called: people by login, partners by id. Read every few seconds."""
        ...

    def add_person(self, person: Person, password_hash: str) -> None:
        """Keep a new person.

        Raises:
            LoginTaken: the login is another person's.
        """
        ...

    def change_person(self, person_id: PersonId, change: PersonChange, now: datetime) -> Person:
        """Change a person; a new role, password or being disabled ends their sessions.

        Raises:
            PersonNotFound: there is none.
        """
        ...

    def open_session(
        self, token_sha256: str, person_id: PersonId, now: datetime, expires_at: datetime
    ) -> None: ...

    def session(self, token_sha256: str, now: datetime) -> Session | None:
        """The session if it has not ended and its person is not disabled."""
        ...

    def session_is_open(self, token_sha256: str, now: datetime) -> bool:
        """Whether the session has not ended, cheaper than ``session``: being disabled ends it."""
        ...

    def extend_session(self, token_sha256: str, expires_at: datetime) -> None: ...

    def end_session(self, token_sha256: str) -> None: ...

    def forget_sessions(self, now: datetime) -> int:
        """Delete sessions that have ended; returns how many."""
        ...

    def partners(self) -> Sequence[Partner]: ...

    def partner(self, partner_id: PartnerId) -> Partner:
        """One partner.

        Raises:
            PartnerNotFound: there is none.
        """
        ...

    def partner_named(self, name: str) -> Partner | None: ...

    def add_partner(self, partner: Partner) -> None:
        """Keep a new partner.

        Raises:
            PartnerNameTaken: the name is another's.
        """
        ...

    def change_partner(self, partner_id: PartnerId, auto_approve_below: Decimal | None) -> None: ...

    def keys(self, partner_id: PartnerId | None = None) -> Sequence[ApiKey]: ...

    def add_key(self, key: ApiKey, key_sha256: str) -> None: ...

    def revoke_key(self, key_id: str, now: datetime) -> ApiKey:
        """Make a key worthless from now on.

        Raises:
            KeyNotFound: there is none, or it is revoked already.
        """
        ...

    def key_holder(self, key_sha256: str) -> KeyHolder | None:
        """Whose valid key it is; None when unknown, revoked, or its partner is disabled."""
        ...

    def views(self, person_id: PersonId) -> Sequence[SavedView]: ...

    def save_view(self, person_id: PersonId, view: SavedView, now: datetime) -> SavedView:
        """Keep a view under its name, replacing the person's view of the same name.

        Raises:
            TooManyViews: the person has as many as anybody may.
        """
        ...

    def delete_view(self, person_id: PersonId, view_id: str) -> None: ...

    def record(
        self, at: datetime, actor: str, action: str, subject: str, detail: str | None = None
    ) -> None:
        """Write to the audit, in this unit of work."""
        ...


class AccessWork(Protocol):
    """A unit of work on access."""

    @property
    def access(self) -> AccessStore: ...
