"""The one thread that writes: whatever queued while the last commit ran shares the next one."""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from time import perf_counter
from typing import Any

from orderkeep.adapters.sql.connections import Link
from orderkeep.adapters.sql.lanes import (
    RETRY_AFTER,
    Batch,
    BatchLost,
    CommitFailed,
    Failed,
    Lane,
    UnitLane,
    busy,
    run_batch,
)
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake.ports import NOTHING_WAITS, Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.errors import CommitOutcomeUnknown, OrderkeepError, StoreBusy
from orderkeep.orders.view import BoardRow

QUEUE_BOUND = 4096
"""Items that may wait in one lane; the next one is refused with StoreBusy."""

RUSH = 8
"""Items of the lanes before it that make a commit one in which a lane takes its small share."""

RUSH_LASTS_S = 0.1

PROBE_S = 3.0
"""How often a failing writer tries whether it is over, with a write of its own if need be."""

FULL_ENOUGH = 64
"""Items that need not wait for the end of the loop's turn: their commit may run beside it."""

_Taken = list[tuple["Waiting", list["_Entry"]]]
_Entry = tuple[Any, Answer, float]
"""An item, who is told of it, and since when it has waited."""


@dataclass
class Waiting:
    """The items of one lane that wait for the next commit.

    ``share`` bounds a batch; ``in_a_rush`` bounds it while the lanes before are busy.
    """

    lane: Lane[Any]
    share: int
    in_a_rush: int
    entries: deque[_Entry] = field(default_factory=deque)

    def take(self, *, rush: bool) -> list[_Entry]:
        """The next items, oldest first.

        Smaller batches that take turns were measured too: they lost more to the second sync than
        they won by answering meanwhile.
        """
        share = self.in_a_rush if rush else self.share
        return [self.entries.popleft() for _ in range(min(share, len(self.entries)))]


@dataclass(slots=True)
class Told:
    """What a batch means for the callers, carried to the loop in one call."""

    answers: list[tuple[Answer, Any]] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    board_rows: Sequence[BoardRow] = ()

    def settle(self) -> None:
        """Give every caller its answer."""
        for answer, outcome in self.answers:
            if answer.done():
                continue  # its caller has gone; the work is done all the same
            if type(outcome) is Failed:
                answer.set_exception(_settable(outcome.error))
            else:
                answer.set_result(outcome)


def _settable(error: Exception) -> Exception:
    """A future refuses StopIteration, and everybody after it in the batch would wait for ever."""
    if not isinstance(error, StopIteration):
        return error
    told = RuntimeError("a unit of work ran out of what it looked for")
    told.__cause__ = error
    return told


class Writer:
    """Runs batches on its own thread and connection.

    ``tell`` is called on the event loop with what each batch means. ``reopen`` makes a fresh
    connection after the disk has failed.
    """

    def __init__(
        self, link: Link, reopen: Callable[[], Link], tell: Callable[[Told], None]
    ) -> None:
        self.link = link
        self._reopen = reopen
        self._tell = tell
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Waiting] = []
        self._wake = threading.Event()
        self._unannounced = 0
        self._in_hand: _Taken = []
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self.between_batches: Callable[[], None] | None = None
        self.is_in_place: Callable[[], bool] = lambda: True
        self._broken = False
        self.batches = 0
        self.last_commit_ms = 0.0
        self.failing = False
        """Whether a batch was lost to the disk, and nothing has landed since with room for more."""
        self.has_room: Callable[[], bool] = lambda: True
        self._tried_at = float("-inf")
        self._probing = Waiting(UnitLane(), 1, 1)
        self._rushed_at = float("-inf")

    def start(self) -> None:
        self._thread.start()

    def add_lane(self, lane: Lane[Any], share: int, in_a_rush: int | None = None) -> Waiting:
        """Open a lane; lanes opened earlier go first in every batch."""
        waiting = Waiting(lane, share, share if in_a_rush is None else in_a_rush)
        self._waiting = [*self._waiting, waiting]
        return waiting

    @property
    def depth(self) -> int:
        """How many items wait."""
        return sum(len(waiting.entries) for waiting in self._waiting)

    @property
    def in_a_rush(self) -> bool:
        """Whether many have been waiting at once just now."""
        return perf_counter() - self._rushed_at < RUSH_LASTS_S

    def submit(self, waiting: Waiting, item: Any) -> "asyncio.Future[Any]":
        """Queue an item; the future is done when its batch is on disk.

        Raises:
            StoreBusy: the queue is full or the store is closing.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.leave(waiting, item, future)
        return future

    def leave(self, waiting: Waiting, item: Any, answer: Answer) -> None:
        """The same for somebody who is told, and does not wait."""
        if self._closing:
            raise StoreBusy("The store is closing", retry_after=RETRY_AFTER)
        if not self.is_in_place():
            raise StoreBusy("The database file is not where it was", retry_after=RETRY_AFTER)
        if len(waiting.entries) >= QUEUE_BOUND:
            raise StoreBusy("Too much waits for the disk", retry_after=RETRY_AFTER)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._unannounced = loop, 0  # what the last one had not announced is lost
        waiting.entries.append((item, answer, perf_counter()))
        self._announce(loop)

    def backlog(self, waiting: Waiting) -> Backlog:
        """What waits in a lane, with what of it is in hand; about, since the writer goes on."""
        in_hand = next((taken for lane, taken in self._in_hand if lane is waiting), [])
        many = len(in_hand) + len(waiting.entries)
        try:
            oldest = (in_hand or waiting.entries)[0]
        except IndexError:  # the writer has taken it just now
            return NOTHING_WAITS
        return Backlog(many, perf_counter() - oldest[2])

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        self._unannounced += 1
        if self._unannounced >= FULL_ENOUGH:
            self._ring()
        elif self._unannounced == 1:
            loop.call_soon(self._ring)

    def _ring(self) -> None:
        """Tell the writer that something waits.

        Once for all that came in one turn of the loop, which costs nobody time: an answer could
        not leave before the turn ends. A writer told of the first would take it alone, pay for a
        whole commit, and hold the interpreter while the others are read.
        """
        if self._unannounced:
            self._unannounced = 0
            self._wake.set()

    def stop(self) -> None:
        """Refuse new items, finish what waits, end the thread."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # --- on the writer's thread ---------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._write_until_closed()
        except BaseException as error:
            self._give_up(error)
            raise

    def _write_until_closed(self) -> None:
        while True:
            taken = self._in_hand = self._take()
            if taken:
                self._carry(self._run(taken))
                self._in_hand = []
                self._rest()
            elif self._closing:
                return
            if self.failing:
                self._probe()
            # What is left over of a share has been announced already.
            if self.depth <= self._unannounced and not self._closing:
                self._wake.wait(PROBE_S if self.failing else None)
            self._wake.clear()

    def _give_up(self, error: BaseException) -> None:
        """A bug has ended this thread: nobody may wait for it, and the process is not ready."""
        self._closing = self.failing = True
        lost = CommitOutcomeUnknown("Writing has stopped for a fault of ours; ask again later")
        lost.__cause__ = error
        while taken := self._in_hand or self._take():
            self._in_hand = []
            self._carry(_told(taken, repeat(Failed(lost))))

    def _rest(self) -> None:
        with suppress(sqlite3.Error):  # a checkpoint that failed is made up for by the next
            if self.between_batches is not None and not self._broken:
                self.between_batches()

    def _take(self) -> _Taken:
        taken: _Taken = []
        before = 0
        # Between two crowds at the door as well: whoever comes would wait for a long commit.
        rushed = self.in_a_rush
        for waiting in self._waiting:
            entries = waiting.take(rush=rushed or before >= RUSH)
            before += len(entries)
            if entries:
                taken.append((waiting, entries))
            if before >= RUSH and waiting is self._waiting[0]:
                self._rushed_at = perf_counter()
        return taken

    def _probe(self) -> None:
        """Try a small write: who found us failing sends nobody, and nobody else would find out."""
        if self.is_in_place() and self._may_try():
            waits_for_it: Any = None
            self._run([(self._probing, [(_touch, waits_for_it, 0.0)])])

    def _may_try(self) -> bool:
        return perf_counter() - self._tried_at >= PROBE_S

    def _failed(self) -> None:
        self.failing = True
        self._tried_at = perf_counter()

    def _landed(self) -> None:
        if self.failing and self._may_try():
            self._tried_at = perf_counter()
            self.failing = not self.has_room()

    def _run(self, taken: _Taken) -> Told:
        work = SqlWork(self.link)
        started = perf_counter()
        try:
            changes = self.link.raw.total_changes
            outcomes = run_batch(work, _batch(taken))
        except Exception as error:  # noqa: BLE001  # every caller of the batch is told
            self._failed()
            self._recover(error)
            return _told(taken, repeat(Failed(fate(error))))
        self.batches += 1
        self.last_commit_ms = (perf_counter() - started) * 1000
        if any(type(outcome) is Failed and _is_busy(outcome) for outcome in outcomes):
            self._failed()
        elif self.link.raw.total_changes > changes:  # A commit of nothing touches no disk.
            self._landed()
        return _told(taken, outcomes, set(work.woken), work.board_rows)

    def _recover(self, error: Exception) -> None:
        """Come back to a connection without a transaction."""
        with suppress(sqlite3.Error, OrderkeepError):  # the next batch meets the same disk
            if self.is_in_place() and (self._broken or _spoils_the_connection(error)):
                self._broken = True
                self.link.close()
                self.link = self._replacement()
                self._broken = False
            elif self.link.raw.in_transaction:
                self.link.raw.execute("ROLLBACK")

    def _replacement(self) -> Link:
        link = self._reopen()
        link.watched = self.link.watched
        return link

    def _carry(self, told: Told) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._tell, told)
        except RuntimeError:
            return  # the loop is gone, and its callers with it


def _touch(work: SqlWork) -> None:
    work.raw.execute("UPDATE alembic_version SET version_num = version_num")


def _is_busy(outcome: Failed) -> bool:
    """Whether an item was undone alone for the disk's sake."""
    return isinstance(outcome.error, StoreBusy)


def _spoils_the_connection(error: Exception) -> bool:
    """After a failing disk a connection's own picture of the file is not to be trusted."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, CommitFailed) or code == sqlite3.SQLITE_IOERR


def fate(error: Exception) -> Exception:
    """What the callers of a lost batch are told."""
    if isinstance(error, CommitFailed):
        unknown = CommitOutcomeUnknown("The disk failed while saving; ask again with the same key")
        unknown.__cause__ = error
        return unknown
    return busy(error) if isinstance(error, sqlite3.Error | BatchLost) else error


def _batch(taken: _Taken) -> Batch:
    return [(waiting.lane, [item for item, _, _ in entries]) for waiting, entries in taken]


def _told(
    taken: _Taken,
    outcomes: Iterable[Any],
    topics: set[str] | None = None,
    board_rows: Sequence[BoardRow] = (),
) -> Told:
    answers = [answer for _, entries in taken for _, answer, _ in entries]
    return Told(list(zip(answers, outcomes, strict=False)), topics or set(), board_rows)
