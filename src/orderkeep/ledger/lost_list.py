"""The list of lost orders as it is kept: its entries, and what becomes of them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from orderkeep.kernel.errors import Conflict, Refused
from orderkeep.kernel.ids import OrderNo
from orderkeep.ledger.lost import LostOrder


class LostState(StrEnum):
    """Where the work on a lost order is."""

    OPEN = "open"
    FOUND_HERE = "found_here"
    """We had it already when it was imported."""
    BROUGHT_BACK = "brought_back"
    GIVEN_UP = "given_up"


class LostNotFound(Refused):
    """There is no such entry."""


class LostChanged(Conflict):
    """Somebody has settled the entry since it was read."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lost order on the list. ``mes``: ``unasked unknown there absent``."""

    row: int
    source: str
    order: LostOrder
    imported_at: datetime
    imported_by: str
    state: LostState
    version: int
    order_no: str | None = None
    mes: str = "unasked"
    mes_detail: str | None = None
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class Imported(msgspec.Struct, frozen=True):
    """What an import did, or would do: each row of the table is in one of the three."""

    source: str
    rows: int
    fresh: int
    found_here: int
    known: int
    """They are on the list already, and stay as they are."""
    ignored: Sequence[str]
    dry_run: bool


class LostStore(Protocol):
    """The list."""

    def known(self, source: str, numbers: Sequence[str]) -> set[str]:
        """Which of the numbers are on the list."""
        ...

    def held(self, rows: Sequence[LostOrder]) -> dict[str, OrderNo]:
        """Which of the numbers mean an order of ours, as its own or its client's number.

        Two partners may use the same number: where a row names its partner, only an order of that
        partner, or one that the office took by hand, is meant.
        """
        ...

    def add(
        self,
        source: str,
        orders: Sequence[LostOrder],
        held: dict[str, OrderNo],
        by: str,
        now: datetime,
        look_at: datetime | None,
    ) -> None:
        """Put orders on the list."""
        ...

    def match(self, now: datetime, limit: int) -> int:
        """Mark open entries whose order has come in since as brought back; how many.

        What is meant is as in ``held``, by the client's number.
        """
        ...

    def page(
        self, state: str | None, after: int | None, limit: int, text: str = ""
    ) -> Sequence[Entry]: ...

    def counts(self) -> dict[str, int]:
        """Entries by state."""
        ...

    def entry(self, row: int) -> Entry:
        """One entry.

        Raises:
            LostNotFound: there is none.
        """
        ...

    def settle(self, entry: Entry, now: datetime, **columns: Any) -> Entry:
        """Write columns of an entry that is still as it was read.

        Raises:
            LostChanged: it is not.
        """
        ...

    def to_look(self, now: datetime, limit: int) -> Sequence[Entry]:
        """Entries that the MES is to be asked about now."""
        ...

    def looked(self, row: int, mes: str, detail: str | None, again: datetime | None) -> None: ...
