"""The store on SQLite: one writer, shared commits, reads beside them."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, TypeVar

from orderkeep.adapters.sql.behind import Behind
from orderkeep.adapters.sql.checkpoints import Checkpoints
from orderkeep.adapters.sql.connections import Link, database_path, facts, open_link
from orderkeep.adapters.sql.hot_sqlite.accept import AcceptBatch, SqlAcceptLane
from orderkeep.adapters.sql.hot_sqlite.arrivals import ArrivalBatch
from orderkeep.adapters.sql.hot_sqlite.claim import ClaimBatch, SqlClaimLane
from orderkeep.adapters.sql.lanes import RETRY_AFTER, Hot, Lane, UnitBatch, UnitLane
from orderkeep.adapters.sql.lock import ServerLock
from orderkeep.adapters.sql.migrate import require_current
from orderkeep.adapters.sql.room import has_room
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.adapters.sql.writer import Told, Waiting, Writer
from orderkeep.intake.ports import Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow

T = TypeVar("T")
ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")

HOT_SHARE = 512
"""Items of a hot lane in one commit: more would make the first of them wait too long."""

UNIT_SHARE, UNITS_IN_A_RUSH = 64, 8
"""What people do, units in one commit: they must not keep the hot lanes waiting, nor be starved."""

BEHIND_SHARE, BEHIND_IN_A_RUSH = 32, 4
"""What workers do on their own, in one commit: an order at the door goes before all of it."""

LONG_READERS = 4

FULL = 2
"""SQLite's number for synchronous=FULL."""

_THE_DISKS_FAULT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
    }
)


class SqliteStore:
    """Implements ``kernel.store.Store[SqlWork]``; made by ``open_store``, closed by ``close``."""

    def __init__(self, path: Path, bells: Bells, lock: ServerLock | None) -> None:
        self.path = path
        self.presence = None
        """Nobody else serves this file: nobody has to see that we live."""
        self.telling = None
        """Nor has anybody to be told what we do."""
        self._bells = bells
        self._lock = lock
        self._watchers: list[Callable[[Sequence[BoardRow]], None]] = []
        self._checkpoints = Checkpoints(path)
        self._writer = Writer(open_link(path), lambda: open_link(path), self._told)
        self._writer.between_batches = self._keep_log_short
        self._writer.is_in_place = lambda: self._checkpoints.in_place
        self._writer.has_room = lambda: has_room(path)
        self._lanes: dict[int, Waiting] = {}
        # Lanes opened first go first: accepting before claiming before everything else.
        self._accepting = AcceptBatch()
        self._claiming = ClaimBatch()
        self._arriving = ArrivalBatch()
        for hot in (self._accepting, self._claiming, self._arriving):
            self._open_lane(hot, HOT_SHARE)
        self._units = self._writer.add_lane(UnitLane(), UNIT_SHARE, UNITS_IN_A_RUSH)
        self._later = self._writer.add_lane(UnitBatch(), BEHIND_SHARE, BEHIND_IN_A_RUSH)
        self.behind: Behind[SqlWork] = Behind(self)
        self._reader = open_link(path, read_only=True)
        self._reader.rows = {}
        self._long_readers = ThreadPoolExecutor(LONG_READERS, "store-reader")
        self._long_links: SimpleQueue[Link] = SimpleQueue()
        self._writer.start()
        if lock is not None:
            self._checkpoints.start()

    # --- writing ------------------------------------------------------------------------------

    async def write(self, unit: Callable[[SqlWork], T]) -> T:
        """Run a unit of work in a shared commit; returning means its changes are on disk."""
        outcome: T = await self._writer.submit(self._units, unit)
        return outcome

    def write_later(self, unit: Callable[[SqlWork], T]) -> Awaitable[T]:
        """The same for who has time: everybody else goes first, and a few at a time in a rush."""
        return self._writer.submit(self._later, unit)

    @property
    def in_a_rush(self) -> bool:
        """Whether many orders are coming in at once just now."""
        return self._writer.in_a_rush

    def submit(self, lane: Hot[ItemT, OutcomeT], item: ItemT) -> Awaitable[OutcomeT]:
        """Run an item of a hot lane in a shared commit."""
        return self._writer.submit(self._lanes[id(lane)], item)

    def leave(self, lane: Hot[ItemT, Any], item: ItemT, answer: Answer) -> None:
        """The same for who does not wait: ``answer`` is told on the event loop."""
        self._writer.leave(self._lanes[id(lane)], item, answer)

    def backlog(self, lane: Hot[Any, Any]) -> Backlog:
        """What waits in a hot lane, with what of it is being written."""
        return self._writer.backlog(self._lanes[id(lane)])

    def accepting(self, policy: Policy) -> SqlAcceptLane:
        """Where intake leaves its submissions."""
        return SqlAcceptLane(self, self._accepting, self._arriving, policy)

    def claiming(self) -> SqlClaimLane:
        """Where operators take orders."""
        return SqlClaimLane(self, self._claiming)

    # --- reading ------------------------------------------------------------------------------

    async def read(self, query: Callable[[SqlWork], T]) -> T:
        """Run a short query here and now on a snapshot of everything committed."""
        return _query(self._reader, query)

    async def read_long(self, query: Callable[[SqlWork], T]) -> T:
        """Run a long query (an export, a report) on a thread of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._long_readers, self._long, query)

    def _long(self, query: Callable[[SqlWork], T]) -> T:
        if self._long_links.empty():
            self._long_links.put(open_link(self.path, read_only=True))
        link = self._long_links.get()
        try:
            return _query(link, query)
        finally:
            self._long_links.put(link)

    # --- after a commit -------------------------------------------------------------------------

    def on_changes(self, watcher: Callable[[Sequence[BoardRow]], None]) -> None:
        """Call ``watcher`` on the event loop with the board's rows that a commit changed."""
        self._watchers.append(watcher)
        self._writer.link.watched = True

    def _told(self, told: Told) -> None:
        told.settle()
        for topic in told.topics:
            self._bells.ring(topic)
        if told.board_rows:
            for watcher in self._watchers:
                watcher(told.board_rows)

    # --- care -----------------------------------------------------------------------------------

    @property
    def is_fit(self) -> bool:
        """Whether what is acknowledged now survives a power cut, and can be written at all."""
        health = self.health()
        safe = health["journal_mode"] == "wal" and health["synchronous"] == FULL
        return bool(safe and health["in_place"] and not health["failing"])

    async def leads(self, name: str) -> bool:
        """Whether this process does what only one may do: there is no other."""
        return True

    def health(self) -> dict[str, str | int | float]:
        """Facts for the readiness page."""
        return {
            **facts(self._reader.raw),
            "in_place": int(self._checkpoints.in_place),
            "failing": int(self._writer.failing),
            "wal_bytes": self._checkpoints.wal_bytes(),
            "queue_depth": self._writer.depth,
            "batches": self._writer.batches,
            "last_commit_ms": round(self._writer.last_commit_ms, 3),
        }

    async def close(self) -> None:
        """Finish what waits, then close everything in reverse order."""
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._checkpoints.stop)
        self._long_readers.shutdown()
        while not self._long_links.empty():
            self._long_links.get().close()
        self._reader.close()
        self._writer.link.close()
        if self._lock is not None:
            self._lock.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open_lane(self, lane: Lane[Any], share: int) -> None:
        self._lanes[id(lane)] = self._writer.add_lane(lane, share)

    def _keep_log_short(self) -> None:
        self._checkpoints.finish(self._writer.link.raw)


def open_store(url: str, bells: Bells, *, serve: bool = False) -> SqliteStore:
    """Open the database behind ``sqlite:///path``.

    Args:
        url: where it is; it must have been migrated.
        bells: rung on the event loop after each commit that woke a topic.
        serve: take the lock of the one server and care for the log. Commands that work beside
            a running server leave it off.

    Raises:
        StoreMisconfigured: the address or the file system will not do.
        SchemaBehind: the database has to be migrated first.
        AlreadyRunning: another server holds the lock.
    """
    path = database_path(url)
    require_current(path)
    lock = ServerLock(path) if serve else None
    try:
        return SqliteStore(path, bells, lock)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def _query(link: Link, query: Callable[[SqlWork], T]) -> T:
    try:
        link.raw.execute("BEGIN")
        try:
            return query(SqlWork(link))
        finally:
            if link.raw.in_transaction:
                link.raw.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _THE_DISKS_FAULT:
            raise
        raise StoreBusy("The database cannot be read now", retry_after=RETRY_AFTER) from error
