"""The tray of unknown messages: what a foreign system said and nobody understood.

It is kept as it came, with its reason, in the unit of work that would have understood it; a person
reads it and gives it to an order, or puts it aside and says why. What waits for a person is never
forgotten, what a person has settled only after a time. Nothing of it is obeyed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from orderkeep.kernel.errors import Conflict, Refused, Unavailable

MOST_BODY = 64 * 1024
"""Bytes of a body that are kept; of a longer one the beginning."""
MOST_OPEN = 10_000
"""Open messages of one source: with more, its owner has to look before it may say anything else."""
UNREADABLE, NO_STATUS = "unreadable", "no-status"
UNKNOWN_ORDER, UNKNOWN_COMMAND = "unknown-order", "unknown-command"
"""Why a message came here, as far as we say it ourselves; people read them in their language."""
MOST_WHY = 500
"""Characters of a reason that are kept."""
_MOST_HEADERS = 40
_MOST_TEXT = 500

_SECRET = ("authorization", "cookie", "token", "secret", "signature", "api-key", "password")


class TrayFull(Unavailable):
    """Too much of a source waits for a person; whoever holds the message keeps it meanwhile."""


class UnknownNotFound(Refused):
    """There is no such message in the tray."""


class UnknownChanged(Conflict):
    """Somebody else has dealt with the message meanwhile."""


class TrayState(StrEnum):
    """What became of a message."""

    OPEN = "open"
    GIVEN = "given"
    """It belongs to an order, where a note says so."""
    ASIDE = "aside"
    """Somebody has read it, and it needs nothing."""


class Unknown(msgspec.Struct, frozen=True):
    """A message that nobody understood.

    ``why`` is a stable word, perhaps with a colon and a sentence behind it: ``unreadable``,
    ``unknown-order``, ``unknown-command: …``.
    """

    source: str
    """The foreign system: ``mes``, ``crm``, or a mapped source's name."""
    why: str
    body: bytes
    message_id: str | None = None
    """Its own name for the message; without one it is known by what it says."""
    headers: Mapping[str, str] = {}

    @property
    def sha256(self) -> str:
        """The whole body's, also of one that is kept in part."""
        return hashlib.sha256(self.body).hexdigest()


class Kept(msgspec.Struct, frozen=True):
    """A message in the tray, as people see it."""

    row: int
    source: str
    message_id: str | None
    received_at: datetime
    why: str
    body: bytes
    size_bytes: int
    """Of the whole body."""
    headers: Mapping[str, str]
    state: TrayState
    order_no: str | None
    handled_by: str | None
    handled_at: datetime | None
    note: str | None


class TrayStore(Protocol):
    """Unknown messages."""

    def keep(self, unknown: Unknown, now: datetime) -> bool:
        """Keep a message; False when it is there already, and nothing was added.

        Raises:
            TrayFull: too many of its source are open.
        """
        ...

    def get(self, row: int) -> Kept:
        """One message.

        Raises:
            UnknownNotFound: there is none.
        """
        ...

    def page(self, state: TrayState | None, before: int | None, limit: int) -> Sequence[Kept]:
        """Messages, the newest first, behind a row; of all states with None."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many are in each state."""
        ...

    def settle(
        self,
        row: int,
        before: TrayState,
        after: TrayState,
        by: str,
        note: str,
        order_no: str | None,
        now: datetime,
    ) -> bool:
        """Write what became of a message, if it is still in the state it was read in."""
        ...  # fmt: skip

    def forget(self, before: datetime, limit: int) -> int:
        """Forget messages that were settled before an instant, the oldest first; how many.

        What is open stays, however old it is.
        """
        ...


class TrayWork(Protocol):
    """A unit of work on the tray."""

    @property
    def tray(self) -> TrayStore: ...


def harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they may be shown: few, short, and none that could let anybody in."""
    plain = {
        name[:_MOST_TEXT]: value[:_MOST_TEXT]
        for name, value in headers.items()
        if not any(word in name.lower() for word in _SECRET)
    }
    return dict(list(plain.items())[:_MOST_HEADERS])
