"""The store in memory for the simulated world: the same SQL, no thread, crashes at will.

A crash is an exception that a failpoint's handler raises: before the commit it takes the unit of
work back, after it the changes stay; either way the caller hears nothing but the crash.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from orderkeep.adapters.sql.connections import memory_link
from orderkeep.adapters.sql.hot_sqlite.accept import AcceptBatch, SqlAcceptLane
from orderkeep.adapters.sql.hot_sqlite.claim import ClaimBatch, SqlClaimLane
from orderkeep.adapters.sql.lanes import Failed, Lane, UnitLane, run_batch
from orderkeep.adapters.sql.tables import metadata
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.bells import Bells
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow

T = TypeVar("T")


class SimStore:
    """``SqliteStore`` without a disk; ``reset`` begins another history."""

    def __init__(self, bells: Bells | None = None) -> None:
        self._link = memory_link()
        metadata.create_all(self._link.core)
        self._bells = bells or Bells()
        self._watchers: list[Callable[[Sequence[BoardRow]], None]] = []
        self._units = UnitLane()
        self._clear = [str(table.delete()) for table in metadata.sorted_tables]

    async def write(self, unit: Callable[[SqlWork], T]) -> T:
        """Run a unit of work in a commit of its own."""
        return self.write_now(unit)

    def write_now(self, unit: Callable[[SqlWork], T]) -> T:
        """The same for callers without an event loop."""
        outcome: T = self._run(self._units, unit)
        return outcome

    async def submit(self, lane: Lane[Any], item: Any) -> Any:
        """Run an item of a hot lane in a commit of its own."""
        return self._run(lane, item)

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
        return SqlAcceptLane(self, AcceptBatch(), policy)

    def claiming(self) -> SqlClaimLane:
        """Where operators take orders."""
        return SqlClaimLane(self, ClaimBatch())

    def on_changes(self, watcher: Callable[[Sequence[BoardRow]], None]) -> None:
        """Call ``watcher`` with the board's rows that a commit changed."""
        self._watchers.append(watcher)
        self._link.watched = True

    def reset(self) -> None:
        """Forget everything; quicker than another store."""
        raw = self._link.raw
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
        try:
            [outcome] = run_batch(work, [(lane, [item])])
        finally:
            if work.raw.in_transaction:
                work.raw.execute("ROLLBACK")
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
