"""Who acts at the machine's command line: whom they name, and whom the operating system knows.

Nobody signs in here. So a name is taken only where the person could do the same at the office, and
beside it stands who the system says it was.
"""

import os
import pwd
from pathlib import Path
from typing import Any

from orderkeep.access.people import Person, PersonNotFound, canonical_login
from orderkeep.access.rights import RIGHTS, NotAllowed, may

_SIGNED_IN = Path("/proc/self/loginuid")
"""Who signed in to the machine; unlike the user it stays the same behind ``sudo``."""
_NOBODY = 2**32 - 1


def person_who_may(work: Any, login: str, right: str, what: str) -> Person:
    """Somebody of the office's people who has a right; to be called in a read.

    Args:
        work: the unit of work.
        login: what they sign in with at the office.
        right: as in ``access.rights``.
        what: what it allows, for the sentence of a refusal.

    Raises:
        PersonNotFound: nobody has this login.
        NotAllowed: they may not sign in any more, or have not the right.
    """
    known = work.access.credentials(canonical_login(login))
    if known is None:
        raise PersonNotFound(
            f"Nobody signs in at the office as {login}: see `orderkeep people list`."
        )
    person: Person = known.person
    if person.disabled_at is not None:
        raise NotAllowed(
            f"{person.login} cannot sign in any more, and may not {what}.", right=right
        )
    if not may(person.role, right):
        others = " and ".join(role for role, rights in RIGHTS.items() if right in rights)
        raise NotAllowed(
            f"{person.login} is here as {person.role}: {others} may {what}.", right=right
        )
    return person


def system_user() -> str:
    """Who the operating system says runs this; the environment, which anybody sets, is not asked.

    Where that is not who signed in to the machine, both are told.
    """
    user, signed_in = _named(os.getuid()), _signed_in()
    return user if signed_in in {None, user} else f"{user}, signed in as {signed_in}"


def _signed_in() -> str | None:
    try:
        uid = int(_SIGNED_IN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # No Linux, or one that does not keep it.
    return None if uid == _NOBODY else _named(uid)


def _named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
