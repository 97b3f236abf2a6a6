"""Which schemas this program runs on; whoever only looks at a database loads no engine for it."""

import re

HEAD = "0001"
"""The newest migration; a test compares it with the files."""

_LATER = re.compile(r"(?P<number>\d{4})-(?P<serves>\d{4})")


def is_served(found: str | None, head: str = HEAD) -> bool:
    """Whether a program whose newest migration is ``head`` runs on a schema of this version.

    A migration after the first is called ``0003-0002``: the third, on which programs since the
    second run, since it only adds. One that takes something away raises the second number.

    >>> is_served("0003-0002", "0002-0001"), is_served("0003-0003", "0002-0001")
    (True, False)
    """
    later, own = _LATER.fullmatch(found or ""), head[:4]
    return found == head or (later is not None and later["serves"] <= own < later["number"])


def not_served(found: str | None, where: str) -> str:
    """Why this program does not serve a database of this version, and what to do."""
    if found is not None and found > HEAD:
        return (
            f"{where} has schema {found}, which is too new for this program ({HEAD}):"
            " run the release that migrated it."
        )
    return (
        f"{where} has schema {found or 'none'}, this program needs {HEAD}:"
        " run `orderkeep migrate` first."
    )
