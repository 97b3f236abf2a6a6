"""Items of a hot lane on PostgreSQL: whatever came while the last commit ran shares the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from time import perf_counter
from typing import Any, Protocol, cast

from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.lanes import RETRY_AFTER, CommitFailed, Failed, Gates
from orderkeep.adapters.sql.postgres.errors import fate, is_held_up, is_not_the_units
from orderkeep.intake.ports import NOTHING_WAITS, Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy

QUEUE_BOUND = 4096
"""Items that may wait in one lane; the next one is refused with StoreBusy."""

SHARE = 512
"""Items in one commit: more would make the first of them wait too long."""

ENOUGH = 16
"""Items worth a commit of their own while more than one may be under way."""

_Entry = tuple[Any, Answer, float]
"""An item, who is told of it, and since when it has waited."""


class PgLane(Protocol):
    """Runs waiting items inside one transaction."""

    @property
    def gates(self) -> Gates | None: ...

    @property
    def keeps_itself(self) -> bool:
        """Whether its last statement is the whole transaction (``PgWork.keep``)."""
        ...

    def run_all(self, work: PgWork, items: Sequence[Any]) -> Sequence[Any]:
        """One outcome per item, in order; an exception undoes them all."""
        ...


class UnitBatch:
    """Units of workers that waited together share a commit; each must bear to be run again.

    Most of what a unit costs is its own commit, and waiting for the counters that others hold
    until theirs.
    """

    gates: Gates | None = None
    keeps_itself = False

    def run_all(self, work: PgWork, items: Sequence[Callable[[PgWork], Any]]) -> Sequence[Any]:
        return [unit(work) for unit in items]


Transact = Callable[[PgLane, Callable[[PgWork], Any]], Awaitable[Any]]
"""Runs a function in a transaction, with the lane's failpoints around its commit."""


class Group:
    """One lane's queue, and the tasks that empty it while there is something in it.

    With more than one ``at_once`` the order of commits is not the order of coming. ``most`` items
    share a commit.
    """

    def __init__(
        self, lane: PgLane, transact: Transact, at_once: int = 1, most: int = SHARE
    ) -> None:
        self._lane = lane
        self._most = most
        self._transact = transact
        self._at_once = at_once
        self._entries: deque[_Entry] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._in_hand: list[list[_Entry]] = []

    @property
    def depth(self) -> int:
        """How many items wait."""
        return len(self._entries)

    @property
    def backlog(self) -> Backlog:
        """What waits, with what is under way."""
        batches = [*self._in_hand, self._entries]
        many = sum(len(batch) for batch in batches)
        since = min((batch[0][2] for batch in batches if batch), default=None)
        return NOTHING_WAITS if since is None else Backlog(many, perf_counter() - since)

    def submit(self, item: Any) -> "asyncio.Future[Any]":
        """Queue an item; the future is done when its batch is on disk.

        Raises:
            StoreBusy: the queue is full.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.leave(item, future)
        return future

    def leave(self, item: Any, answer: Answer) -> None:
        """The same for somebody who is told, and does not wait."""
        if len(self._entries) >= QUEUE_BOUND:
            raise StoreBusy("Too much waits for the database", retry_after=RETRY_AFTER)
        self._entries.append((item, answer, perf_counter()))
        if len(self._tasks) < self._at_once:
            self._tasks.add(asyncio.create_task(self._serve()))

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self) -> None:
        taken: list[_Entry] = []
        try:
            while self._entries:
                taken = [self._entries.popleft() for _ in range(self._share())]
                self._in_hand.append(taken)
                self._busy += 1
                try:
                    outcomes = await self._run([item for item, _, _ in taken])
                finally:
                    self._busy -= 1
                    self._in_hand.remove(taken)
                for (_, answer, _), outcome in zip(taken, outcomes, strict=True):
                    _settle(answer, outcome)
        except BaseException as error:
            self._give_up(taken, error)
            raise
        finally:
            # At once: whoever comes after the last look at the queue needs another task.
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _share(self) -> int:
        """How many to take: one's part of what waits, where that is enough for a commit."""
        part = max(-(-self.depth // (self._at_once - self._busy)), ENOUGH)
        return min(part, self.depth, self._most)

    def _give_up(self, taken: Sequence[_Entry], error: BaseException) -> None:
        """A bug of ours, or the end of the loop: nobody may wait for ever."""
        lost = CommitOutcomeUnknown("Saving has stopped for a fault of ours; ask again later")
        lost.__cause__ = error
        for _, answer, _ in (*taken, *self._entries):
            _settle(answer, Failed(lost))
        self._entries.clear()

    async def _run(self, items: Sequence[Any]) -> Sequence[Any]:
        """One outcome per item; a bad item is found by halving, and undone alone."""
        try:
            found: Sequence[Any] = await self._transact(
                self._lane, lambda work: self._lane.run_all(work, items)
            )
        except Exception as error:  # noqa: BLE001  # every caller of the batch is told
            if self._is_shared(error) or len(items) == 1:
                return list(repeat(Failed(fate(error)), len(items)))
            middle = len(items) // 2
            return [*await self._run(items[:middle]), *await self._run(items[middle:])]
        return found

    def _is_shared(self, error: Exception) -> bool:
        """Whether it would have met each item alone as well."""
        if isinstance(self._lane, UnitBatch) and is_held_up(error):
            return False  # One of them waits for a row that somebody holds; the others need not.
        return isinstance(error, CommitFailed | StoreBusy) or is_not_the_units(error)


def _settle(answer: Answer, outcome: Any) -> None:
    if answer.done():
        return  # its caller has gone; the work is done all the same
    if type(outcome) is Failed:
        answer.set_exception(outcome.error)
    else:
        answer.set_result(outcome)
