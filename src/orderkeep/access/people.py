"""People of the office, and what a person without the right sees of a client."""

import re
from datetime import datetime

import msgspec

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.kernel.errors import Fault, Invalid, Refused
from orderkeep.kernel.ids import PersonId

LOCALES = ("ru", "en")
MIN_PASSWORD = 10
MAX_PASSWORD = 200
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Person(msgspec.Struct, frozen=True):
    """Someone who signs in at the office."""

    id: PersonId
    login: str
    name: str
    role: Role
    locale: str
    created_at: datetime
    disabled_at: datetime | None = None

    @property
    def can(self) -> list[str]:
        """Their rights, sorted."""
        return sorted(RIGHTS[self.role])


class LoginTaken(Refused):
    """Another person has this login."""


class PersonNotFound(Refused):
    """No such person."""


def canonical_login(text: str) -> str:
    """The login as it is kept: without blanks around it, in small letters."""
    return text.strip().casefold()


def check_person(login: str, name: str, role: str, locale: str) -> None:
    """Refuse a person that cannot be kept.

    Raises:
        Invalid: with every fault.
    """
    faults = [fault for fault in _faults(login, name, role, locale) if fault]
    if faults:
        raise Invalid(faults)


def check_password(password: str) -> None:
    """Refuse a password that is too short to keep anybody out.

    Raises:
        Invalid: too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        message = f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise Invalid([Fault("/password", "length", message)])


def masked(text: str) -> str:
    """What is shown of a personal text without the right: the first letter of each word.

    ``Анна Петрова`` becomes ``А••• П•••``; the length of a word is not told.
    """
    return " ".join(f"{word[0]}•••" for word in text.split())


def masked_contact(text: str) -> str:
    """What is shown of a telephone number, address or e-mail without the right: nothing of it."""
    return "•••" if text else ""


def _faults(login: str, name: str, role: str, locale: str) -> list[Fault | None]:
    named = 0 < len(name.strip()) <= 200
    roles = ", ".join(Role)
    return [
        None
        if _LOGIN.fullmatch(login)
        else Fault("/login", "format", "small Latin letters, digits, dot, dash; at most 64"),
        None if named else Fault("/name", "length", "must have 1 to 200 characters"),
        None if role in set(Role) else Fault("/role", "unknown", f"must be one of {roles}"),
        None if locale in LOCALES else Fault("/locale", "unknown", "must be ru or en"),
    ]
