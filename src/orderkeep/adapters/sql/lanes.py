"""Ways into the shared commit: a lane runs all that waited in it together."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake.ports import Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.errors import OrderkeepError, StoreBusy
from orderkeep.kernel.failpoints import failpoint, reach

RETRY_AFTER = timedelta(seconds=1)

BEFORE_COMMIT = failpoint("store.before_commit", "nothing of the batch")
AFTER_COMMIT = failpoint("store.after_commit", "the whole batch; nobody has been told")

ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
OutcomeT = TypeVar("OutcomeT")


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


class Hot(Generic[ItemT, OutcomeT]):
    """What waits in a lane and what comes of it, on either database; it does nothing itself."""


class Lanes(Protocol):
    """Where a hot path leaves its items."""

    def submit(self, lane: Hot[ItemT, OutcomeT], item: ItemT) -> Awaitable[OutcomeT]:
        """Run the item in a shared commit; returning means it is on disk."""
        ...

    def leave(self, lane: Hot[ItemT, Any], item: ItemT, answer: Answer) -> None:
        """The same without waiting: ``answer`` is told the outcome on the event loop."""
        ...

    def backlog(self, lane: Hot[Any, Any]) -> Backlog:
        """What waits in a lane, with what of it is being run."""
        ...


Batch = Sequence[tuple[Lane[Any], Sequence[Any]]]
"""What shares one commit: the items of each lane, in the order they are run."""


def run_batch(work: SqlWork, batch: Batch) -> list[Any]:
    """Run all items in one transaction; returning means it is on disk. Outcomes in order.

    Raises:
        CommitFailed: nobody knows whether it is on disk.
        sqlite3.Error, BatchLost: nothing was done; the transaction may still be open.
    """
    work.raw.execute("BEGIN IMMEDIATE")
    work.begun = False
    outcomes: list[Any] = []
    for lane, items in batch:
        outcomes += lane.run(work, items)
        work.begun = True
    gates = [lane.gates for lane, _ in batch if lane.gates is not None]
    for gate in gates:
        reach(gate.before_commit)
    reach(BEFORE_COMMIT)
    commit(work.raw)
    reach(AFTER_COMMIT)
    for gate in gates:
        reach(gate.after_commit)
    return outcomes


class CommitFailed(OrderkeepError):
    """COMMIT itself failed, for a reason that leaves its outcome open."""


_SURELY_NOT_DONE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY})


def commit(raw: sqlite3.Connection) -> None:
    """Put the transaction on disk.

    Raises:
        CommitFailed: nobody knows whether it is there.
        sqlite3.Error: surely not done.
    """
    try:
        raw.execute("COMMIT")
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if code in _SURELY_NOT_DONE:
            raise
        raise CommitFailed(str(error)) from error


class UnitLane(Hot[Callable[[SqlWork], Any], Any]):
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
            return Failed(busy(error) if _is_the_disk(error) else error)
        raw.execute("RELEASE unit")
        work.absorb(own)
        return outcome


_DISK = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def _is_the_disk(error: Exception) -> bool:
    found = getattr(error, "orig", error)  # SQLAlchemy wraps what the driver raised
    return getattr(found, "sqlite_errorcode", 0) & 0xFF in _DISK


def busy(error: Exception) -> StoreBusy:
    """Surely not done, for a reason that is not the caller's."""
    refusal = StoreBusy("The database cannot be written now", retry_after=RETRY_AFTER)
    refusal.__cause__ = error
    return refusal


class HalvingLane(ABC, Hot[ItemT, OutcomeT]):
    """Runs a batch as one; a bad item is found by splitting, and undone alone."""

    def run(self, work: SqlWork, items: Sequence[ItemT]) -> Sequence[Any]:
        own = work.another()
        # Nothing before us to be kept: no savepoint, which would copy every page before its change.
        alone = not work.begun
        work.begun = True
        if not alone:
            work.raw.execute("SAVEPOINT batch")
        try:
            outcomes = self.run_all(own, items)
            own.finish()
        except Exception as error:  # noqa: BLE001  # one item is bad: which one?
            found = getattr(error, "orig", error)  # SQLAlchemy wraps what the driver raised
            if isinstance(found, sqlite3.OperationalError):
                # The disk's fault, not an item's: nothing of the transaction is to be kept.
                raise found from None
            undo(work.raw, None if alone else "batch", error)
            return self._halves(work, items, error)
        if not alone:
            work.raw.execute("RELEASE batch")
        work.absorb(own)
        return outcomes

    @abstractmethod
    def run_all(self, work: SqlWork, items: Sequence[ItemT]) -> Sequence[Any]:
        """Run every item; an exception undoes them all."""

    def _halves(self, work: SqlWork, items: Sequence[ItemT], error: Exception) -> Sequence[Any]:
        if len(items) == 1:
            return [Failed(error)]
        middle = len(items) // 2
        return [*self.run(work, items[:middle]), *self.run(work, items[middle:])]


class UnitBatch(HalvingLane[Callable[[SqlWork], Any], Any]):
    """Units of workers, all as one; each must bear to be run again.

    A savepoint and a fresh work for each took as long as most of them do.
    """

    gates: Gates | None = None

    def run_all(self, work: SqlWork, items: Sequence[Callable[[SqlWork], Any]]) -> Sequence[Any]:
        return [unit(work) for unit in items]


def undo(raw: sqlite3.Connection, savepoint: str | None, error: Exception) -> None:
    """Take back one savepoint, or everything so far.

    Raises:
        BatchLost: SQLite has already taken back the whole transaction.
    """
    if not raw.in_transaction:
        raise BatchLost(str(error)) from error
    if savepoint is None:
        raw.execute("ROLLBACK")
        raw.execute("BEGIN IMMEDIATE")
        return
    raw.execute(f"ROLLBACK TO {savepoint}")
    raw.execute(f"RELEASE {savepoint}")
