"""Ways into the shared commit: a lane runs all that waited in it together."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.errors import OrderkeepError

ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of an item that was undone alone."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Gates:
    """The failpoints around the commit of a lane."""

    before_commit: str
    after_commit: str


class BatchLost(OrderkeepError):
    """SQLite undid the whole transaction, as it does on a full disk."""


class Lane(Protocol[ItemT_contra]):
    """Runs waiting items inside the writer's transaction."""

    gates: Gates | None

    def run(self, work: SqlWork, items: Sequence[ItemT_contra]) -> Sequence[Any]:
        """One outcome per item, in order; ``Failed`` for an item that was undone alone.

        Raises:
            sqlite3.OperationalError, BatchLost: the whole batch is not to be committed.
        """
        ...


class Lanes(Protocol):
    """Where a hot path leaves its items."""

    async def submit(self, lane: Lane[ItemT], item: ItemT) -> Any:
        """Run the item in a shared commit; returning means it is on disk."""
        ...


class UnitLane:
    """Ordinary units of work, each in its own savepoint."""

    gates: Gates | None = None

    def run(self, work: SqlWork, items: Sequence[Callable[[SqlWork], Any]]) -> Sequence[Any]:
        return [self._one(work, unit) for unit in items]

    def _one(self, work: SqlWork, unit: Callable[[SqlWork], Any]) -> Any:
        raw = work.raw
        own = work.another()
        raw.execute("SAVEPOINT unit")
        try:
            outcome = unit(own)
            own.finish()
        except Exception as error:  # noqa: BLE001  # whatever it was belongs to its caller
            undo(raw, "unit", error)
            return Failed(error)
        raw.execute("RELEASE unit")
        work.absorb(own)
        return outcome


class HalvingLane(Generic[ItemT]):
    """Runs a batch as one; a bad item is found by splitting, and undone alone."""

    def run(self, work: SqlWork, items: Sequence[ItemT]) -> Sequence[Any]:
        own = work.another()
        work.raw.execute("SAVEPOINT batch")
        try:
            outcomes = self.run_all(own, items)
            own.finish()
        except sqlite3.OperationalError as error:
            undo(work.raw, "batch", error)
            raise  # the disk's fault, not an item's
        except Exception as error:  # noqa: BLE001  # one item is bad: which one?
            undo(work.raw, "batch", error)
            return self._halves(work, items, error)
        work.raw.execute("RELEASE batch")
        work.absorb(own)
        return outcomes

    def run_all(self, work: SqlWork, items: Sequence[ItemT]) -> Sequence[Any]:
        """Run every item; an exception undoes them all."""
        raise NotImplementedError

    def _halves(self, work: SqlWork, items: Sequence[ItemT], error: Exception) -> Sequence[Any]:
        if len(items) == 1:
            return [Failed(error)]
        middle = len(items) // 2
        return [*self.run(work, items[:middle]), *self.run(work, items[middle:])]


def undo(raw: sqlite3.Connection, savepoint: str, error: Exception) -> None:
    """Take back one savepoint.

    Raises:
        BatchLost: SQLite has already taken back the whole transaction.
    """
    if not raw.in_transaction:
        raise BatchLost(str(error)) from error
    raw.execute(f"ROLLBACK TO {savepoint}")
    raw.execute(f"RELEASE {savepoint}")
