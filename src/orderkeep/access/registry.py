"""What an admin does: people, partners, keys. Each change is in the audit, in its transaction."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from orderkeep.access.keys import (
    OFFICE,
    ApiKey,
    Partner,
    PartnerNameTaken,
    PartnerNotFound,
    Quota,
    check_partner_name,
    key_hint,
    key_sha256,
    new_key,
)
from orderkeep.access.people import Person, canonical_login, check_password, check_person
from orderkeep.access.ports import AccessWork, Passwords, PersonChange
from orderkeep.access.rights import Role
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids, PartnerId, PersonId
from orderkeep.kernel.store import Store

_ID_LENGTH = 16


class Registry:
    """People, partners and keys; ``actor`` is who does it, for the audit."""

    def __init__(
        self, store: Store[AccessWork], passwords: Passwords, clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._ids = ids

    async def people(self) -> Sequence[Person]:
        return await self._store.read(lambda work: work.access.people())

    async def add_person(
        self, actor: str, *, login: str, name: str, role: str, locale: str, password: str
    ) -> Person:
        """Add someone who may sign in.

        Raises:
            Invalid: with every fault.
            LoginTaken: the login is another's.
        """
        login = canonical_login(login)
        check_person(login, name, role, locale)
        check_password(password)
        hashed, now = await self._passwords.hash(password), self._clock.now()
        person_id = PersonId(self._ids.token(_ID_LENGTH))
        person = Person(person_id, login, name.strip(), Role(role), locale, now)

        def unit(work: AccessWork) -> Person:
            work.access.add_person(person, hashed)
            work.access.record(now, actor, "person.added", login, f"role {role}")
            return person

        return await self._store.write(unit)

    async def change_person(
        self, actor: str, person_id: PersonId, change: PersonChange, password: str | None = None
    ) -> Person:
        """Change a person; a new role, password or being disabled ends their sessions."""
        if password is not None:
            check_password(password)
            hashed = await self._passwords.hash(password)
            change = PersonChange(change.name, change.role, change.locale, hashed, change.disabled)
        now = self._clock.now()

        def unit(work: AccessWork) -> Person:
            person = work.access.change_person(person_id, change, now)
            work.access.record(now, actor, "person.changed", person.login, _told(change))
            return person

        return await self._store.write(unit)

    async def partners(self) -> Sequence[tuple[Partner, Sequence[ApiKey]]]:
        """All partners, each with its keys."""

        def query(work: AccessWork) -> Sequence[tuple[Partner, Sequence[ApiKey]]]:
            return [(partner, work.access.keys(partner.id)) for partner in work.access.partners()]

        return await self._store.read(query)

    async def add_partner(
        self, actor: str, name: str, auto_approve_below: Decimal | None = None
    ) -> Partner:
        """Add a partner.

        Raises:
            Invalid: the name cannot be kept.
            PartnerNameTaken: another has it.
        """
        check_partner_name(name)
        partner = self._partner(name, auto_approve_below)

        def unit(work: AccessWork) -> Partner:
            work.access.add_partner(partner)
            work.access.record(partner.created_at, actor, "partner.added", partner.name)
            return partner

        return await self._store.write(unit)

    async def ensure_house(self) -> None:
        """Add the partner that orders made by hand belong to, if this is the first start."""
        if await self._has_house():
            return
        house = Partner(OFFICE, "orderkeep office", None, self._clock.now())
        try:
            await self._store.write(lambda work: work.access.add_partner(house))
        except PartnerNameTaken:
            if not await self._has_house():  # Else another office began at the same moment.
                raise

    async def _has_house(self) -> bool:
        partners = await self._store.read(lambda work: work.access.partners())
        return any(partner.id == OFFICE for partner in partners)

    async def create_key(
        self, actor: str, partner_id: PartnerId, quota: Quota
    ) -> tuple[str, ApiKey]:
        """Make a key for a partner; the first of the pair is the key, told this once.

        Raises:
            PartnerNotFound: there is none, or it is the house itself.
        """

        def partner(work: AccessWork) -> Partner:
            return work.access.partner(partner_id)

        return await self._new_key(actor, partner, quota)

    async def create_key_for(
        self, actor: str, name: str, quota: Quota, auto_approve_below: Decimal | None
    ) -> tuple[str, ApiKey]:
        """Make a key for the partner of this name, who is added if there is none yet.

        Raises:
            Invalid: the name cannot be kept.
            PartnerNotFound: it is the name of the house itself.
        """
        check_partner_name(name)
        fresh = self._partner(name, auto_approve_below)

        def partner(work: AccessWork) -> Partner:
            known = work.access.partner_named(fresh.name)
            if known is None:
                work.access.add_partner(fresh)
                work.access.record(fresh.created_at, actor, "partner.added", fresh.name)
                return fresh
            if auto_approve_below is not None:
                work.access.change_partner(known.id, auto_approve_below)
                work.access.record(fresh.created_at, actor, "partner.changed", fresh.name)
            return known

        return await self._new_key(actor, partner, quota)

    async def revoke_key(self, actor: str, key_id: str) -> ApiKey:
        """Make a key worthless from now on.

        Raises:
            KeyNotFound: there is none, or it is revoked already.
        """
        now = self._clock.now()

        def unit(work: AccessWork) -> ApiKey:
            key = work.access.revoke_key(key_id, now)
            work.access.record(now, actor, "key.revoked", key.hint)
            return key

        return await self._store.write(unit)

    async def _new_key(
        self, actor: str, partner: Callable[[AccessWork], Partner], quota: Quota
    ) -> tuple[str, ApiKey]:
        key, now = new_key(self._ids), self._clock.now()
        key_id = self._ids.token(_ID_LENGTH)

        def unit(work: AccessWork) -> ApiKey:
            owner = partner(work)
            if owner.id == OFFICE:  # Its orders are people's, who sign in.
                raise PartnerNotFound("the office itself has no keys")
            kept = ApiKey(key_id, owner.id, key_hint(key), quota, now)
            work.access.add_key(kept, key_sha256(key))
            work.access.record(now, actor, "key.created", kept.hint, owner.name)
            return kept

        return key, await self._store.write(unit)

    def _partner(self, name: str, auto_approve_below: Decimal | None) -> Partner:
        partner_id = PartnerId(self._ids.token(_ID_LENGTH))
        return Partner(partner_id, name.strip(), auto_approve_below, self._clock.now())


def _told(change: PersonChange) -> str:
    """What the audit tells of a change: never the password."""
    told = {
        "name": change.name,
        "role": change.role,
        "locale": change.locale,
        "password": "new" if change.password_hash else None,
        "disabled": change.disabled,
    }
    return ", ".join(f"{key}: {value}" for key, value in told.items() if value is not None)
