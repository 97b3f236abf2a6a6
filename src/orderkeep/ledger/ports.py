"""What the ledger asks of the store and of whatever keeps the bytes."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from orderkeep.ledger.balance import Balance
from orderkeep.ledger.evidence import Case, Stored, Violation


class Snapshot(Protocol):
    """The tables as they were at one instant, however long one looks."""

    def given_out(self) -> int:
        """The last order number given out."""
        ...

    def cases(self) -> Iterator[Case]:
        """Every order number from 1 on with its evidence, also those with none."""
        ...

    def doubles(self) -> Iterator[Violation]:
        """S1 and S2 across orders: keys and references that mean two orders, or none."""
        ...

    def stored(self, file_id: str) -> Stored | None:
        """What is known about a file, or None."""
        ...

    def stage_counts(self) -> Mapping[str, int]:
        """The counters that lists show, by stage."""
        ...

    def still_at_mes(self, reference: str) -> bool:
        """Whether the bridge says now that the MES has a work order."""
        ...

    def balance(self, now: datetime) -> Balance:
        """Where all accepted orders are."""
        ...


class Ledger(Protocol):
    """The way to the tables."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Look at the tables as they are now; writers go on."""
        ...


class Kept(Protocol):
    """The bytes of model files."""

    async def sizes(self) -> Mapping[str, int]:
        """Every hash that is kept, with the size of its bytes."""
        ...

    async def digest(self, sha256: str) -> str | None:
        """The hash of the bytes kept under a hash, computed now; None when they are gone."""
        ...
