"""The store in memory for the simulated world: the same SQL, no thread, crashes at will.

A crash is an exception that a failpoint's handler raises: before the commit it takes the unit of
work back, after it the changes stay; either way the caller hears nothing but the crash.
"""

import sqlite3
from asyncio import Future, get_running_loop
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar, cast

from orderkeep.adapters.sql.connections import memory_link
from orderkeep.adapters.sql.hot_sqlite.accept import AcceptBatch, SqlAcceptLane
from orderkeep.adapters.sql.hot_sqlite.arrivals import ArrivalBatch
from orderkeep.adapters.sql.hot_sqlite.claim import ClaimBatch, SqlClaimLane
from orderkeep.adapters.sql.lanes import Batch, Failed, Hot, Lane, UnitLane, run_batch
from orderkeep.adapters.sql.tables import metadata
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake.ports import Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow

T = TypeVar("T")
ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")


class SimStore:
    """``SqliteStore`` without a disk; ``reset`` begins another history."""

    def __init__(self, bells: Bells | None = None) -> None:
        self._link = memory_link()
        metadata.create_all(self._link.core)
        self._bells = bells or Bells()
        self._watchers: list[Callable[[Sequence[BoardRow]], None]] = []
        self._units = UnitLane()
        self._accepting = AcceptBatch()
        self._claiming = ClaimBatch()
        self._arriving = ArrivalBatch()
        self._clear = [str(table.delete()) for table in metadata.sorted_tables]
        self.busy_writes: Iterator[bool] = iter(())
        """Which of the next writes the store does not take."""
        self.held = False
        """Whether what is to be written waits for ``flush``, as it waits for a disk."""
        self._waiting: list[_Entry] = []

    @property
    def raw(self) -> sqlite3.Connection:
        """The bare connection, for the world's own look at the tables."""
        return self._link.raw

    async def write(self, unit: Callable[[SqlWork], T]) -> T:
        """Run a unit of work in a commit of its own, or shared with others that wait."""
        outcome: T = await self.submit(self._units, unit)
        return outcome

    def write_now(self, unit: Callable[[SqlWork], T]) -> T:
        """The same for callers without an event loop."""
        outcome: T = self._run(self._units, unit)
        return outcome

    async def submit(self, lane: Hot[ItemT, OutcomeT], item: ItemT) -> OutcomeT:
        """Run an item of a hot lane in a commit of its own, or shared with others that wait."""
        if next(self.busy_writes, False):
            raise StoreBusy("The disk is full")
        if not self.held:
            outcome: OutcomeT = self._run(_runs(lane), item)
            return outcome
        future: Future[OutcomeT] = get_running_loop().create_future()
        self._waiting.append((_runs(lane), item, future))
        return await future

    def leave(self, lane: Hot[ItemT, Any], item: ItemT, answer: Answer) -> None:
        """The same for who does not wait."""
        if next(self.busy_writes, False):
            raise StoreBusy("The disk is full")
        self._waiting.append((_runs(lane), item, answer))
        if not self.held:
            self.flush()

    def backlog(self, lane: Hot[Any, Any]) -> Backlog:
        """What waits; no time passes here."""
        return Backlog(sum(waiting is _runs(lane) for waiting, _, _ in self._waiting), 0.0)

    async def read(self, query: Callable[[SqlWork], T]) -> T:
        """Run a query."""
        return self.read_now(query)

    async def read_long(self, query: Callable[[SqlWork], T]) -> T:
        """Run a query."""
        return self.read_now(query)

    def read_now(self, query: Callable[[SqlWork], T]) -> T:
        """The same for callers without an event loop."""
        self._link.raw.execute("PRAGMA query_only=ON")
        try:
            return query(SqlWork(self._link))
        finally:
            self._link.raw.execute("PRAGMA query_only=OFF")

    def accepting(self, policy: Policy) -> SqlAcceptLane:
        """Where intake leaves its submissions."""
        return SqlAcceptLane(self, self._accepting, self._arriving, policy)

    def claiming(self) -> SqlClaimLane:
        """Where operators take orders."""
        return SqlClaimLane(self, self._claiming)

    def on_changes(self, watcher: Callable[[Sequence[BoardRow]], None]) -> None:
        """Call ``watcher`` with the board's rows that a commit changed."""
        self._watchers.append(watcher)
        self._link.watched = True

    # --- shared commits -------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many wait for a commit."""
        return len(self._waiting)

    def flush(self) -> None:
        """Commit together what waits, the hot lanes first, and tell everyone."""
        taken, self._waiting = self._waiting, []
        taken.sort(key=lambda entry: self._rank(entry[0]))
        batch = [(lane, [entry[1] for entry in group]) for lane, group in _by_lane(taken)]
        work = SqlWork(self._link)
        outcomes = self._commit(work, batch)
        for (_, _, answer), outcome in zip(taken, outcomes, strict=True):
            _settle(answer, outcome)
        self._after(work)

    def fail(self, told: Exception, *, kept: bool) -> None:
        """The disk fails: everyone who waits is told so, whether or not it was kept."""
        taken, self._waiting = self._waiting, []
        if kept:
            taken.sort(key=lambda entry: self._rank(entry[0]))
            batch = [(lane, [entry[1] for entry in group]) for lane, group in _by_lane(taken)]
            self._commit(SqlWork(self._link), batch)
        for _, _, answer in taken:
            _settle(answer, Failed(told))

    def abandon(self) -> None:
        """The process died: what waited was never begun."""
        self._waiting.clear()

    def _rank(self, lane: Lane[Any]) -> int:
        return (self._accepting, self._claiming, self._arriving, self._units).index(lane)

    def _commit(self, work: SqlWork, batch: Batch) -> list[Any]:
        try:
            return run_batch(work, batch)
        finally:
            if work.raw.in_transaction:
                work.raw.execute("ROLLBACK")

    def reset(self) -> None:
        """Forget everything; quicker than another store."""
        raw = self._link.raw
        self._waiting.clear()
        raw.execute("PRAGMA foreign_keys=OFF")  # whole tables go at once when nothing is checked
        raw.execute("BEGIN")
        for delete_all in self._clear:
            raw.execute(delete_all)
        raw.execute("COMMIT")
        raw.execute("PRAGMA foreign_keys=ON")

    def health(self) -> dict[str, str | int | float]:
        """Facts for the readiness page: nothing here is on disk."""
        return {"journal_mode": "memory", "synchronous": 0, "queue_depth": 0}

    async def close(self) -> None:
        """Forget everything for good."""
        self._link.close()

    def _run(self, lane: Lane[Any], item: Any) -> Any:
        work = SqlWork(self._link)
        [outcome] = self._commit(work, [(lane, [item])])
        self._after(work)
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome

    def _after(self, work: SqlWork) -> None:
        for topic in work.woken:
            self._bells.ring(topic)
        for watcher in self._watchers:
            if work.board_rows:
                watcher(work.board_rows)


_Entry = tuple[Lane[Any], Any, Answer]


def _by_lane(entries: Sequence[_Entry]) -> Iterator[tuple[Lane[Any], list[_Entry]]]:
    for _, group in groupby(entries, key=lambda entry: id(entry[0])):
        members = list(group)
        yield members[0][0], members


def _settle(answer: Answer, outcome: Any) -> None:
    if answer.done():
        return  # Its caller has gone; the work is done all the same.
    if isinstance(outcome, Failed):
        answer.set_exception(outcome.error)
    else:
        answer.set_result(outcome)


def _runs(lane: Hot[Any, Any]) -> Lane[Any]:
    """Each of ours runs its items itself, as SQLite's do."""
    return cast("Lane[Any]", lane)
