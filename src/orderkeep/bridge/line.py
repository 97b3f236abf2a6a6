"""The line in front of a foreign system: what is due leaves oldest first, as many as the gate lets.

What a row is, and what moving it means, is the owner's business; that none overtakes, that none is
in two hands, and that a failure is looked after, is the line's.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from orderkeep.bridge.gate import Gate
from orderkeep.bridge.lives import Lives
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.delivery.sentences import failed
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Unavailable, Uncertain
from orderkeep.kernel.store import Store

BATCH = 256
TRIES = 3
"""So often in a row may a row fail by itself; then a person has to see it, and the others go on."""
_TRIES_KEPT = 1_000


class Row(Protocol):
    """Something that is due, and may be moved by one at a time."""

    @property
    def reference(self) -> str:
        """What names it, and nothing else of its kind."""
        ...


RowT = TypeVar("RowT", bound=Row)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rows(Generic[RowT]):
    """Where the rows of a line are kept."""

    due: Callable[[BridgeWork, datetime, int], Sequence[RowT]]
    """Those whose time has come and that nobody has in hand, oldest first."""
    abandon: Callable[[BridgeWork, datetime, str | None], int]
    """Make due what a holder was sending that is proven gone; None means all holders."""
    pull_in: Callable[[BridgeWork, datetime], int]
    """Make due what would wait longer than any pause lasts: a clock was set back."""
    put_aside: Callable[[RowT, str], Awaitable[None]]
    """Let a row that always fails wait for a person, who sees why."""


class Line(Generic[RowT]):
    """One destination's line in this process; ``holder`` is unique to the process's life."""

    def __init__(  # The line's parts, each used.
        self,
        store: Store[BridgeWork],
        clock: Clock,
        gate: Gate,
        rows: Rows[RowT],
        move: Callable[[RowT], Awaitable[None]],
        holder: str,
        lives: Lives | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._gate = gate
        self._rows = rows
        self._move = move
        self._holder = holder
        self._lives = lives
        """Given where other processes serve the same destination."""
        self._failure: Exception | None = None
        """Why the last step left something unwritten."""
        self._tries: dict[str, int] = {}
        """How often rows have failed by themselves since they were last moved."""
        self._line: deque[RowT] = deque()
        """What is due, oldest first, shared by all steps of ours, so that none overtakes."""
        self._moving: set[str] = set()
        """What a step of ours has in hand."""
        self._moved: set[str] = set()
        """What was let go of while somebody read what is due: what they read is out of date."""
        self._movers = 0
        """Steps that move the line: the last one leaves nothing in it. One that finds no room must
        not take it from those that have; all of it would be read anew for every few rows."""
        self._reading = asyncio.Lock()
        self._looked_at: datetime | None = None
        """When the last step was, by a clock that may have been set back since."""

    async def recover(self) -> int:
        """At start: whoever was sending is gone, so it may have been done. Returns how many."""
        now = self._clock.now()

        def recover(work: BridgeWork) -> int:
            self._rows.pull_in(work, now)
            return self._rows.abandon(work, now, None)

        return await self._store.write(recover)

    async def step(self) -> int:
        """Move what is due, oldest first and as many at once as the gate lets; how many.

        Several steps may run at once: while one waits for a slow answer, another goes on.

        Raises:
            Exception: the first failure, after everything else has been moved.
        """
        now = self._clock.now()
        if not self._is_seen() or not await self._look_after_own(now):
            return 0
        await self._look_at_clock(now)
        await self._gate.look()
        moved = 0
        if self._gate.may_call():
            await self._take_due(now)
            moved = await self._move_all()
        await self._gate.keep()
        if self._failure is not None:
            raise self._failure
        return moved

    async def _take_due(self, now: datetime) -> None:
        """Line up what is due and in nobody's hands, behind what other steps have lined up."""
        async with self._reading:
            if self._line:
                return
            self._moved.clear()
            due = await self._store.read(lambda work: self._rows.due(work, now, BATCH))
            ours = [one for one in due if one.reference not in self._moving | self._moved]
            self._moving |= {one.reference for one in ours}
            self._line.extend(ours)

    async def _move_all(self) -> int:
        """Move the line on until it is empty, or none may leave; the rest stays as it was."""
        under_way: set[asyncio.Task[None]] = set()
        moved = 0
        self._movers += 1
        try:
            while True:
                await self._gate.reserve(len(self._line))
                while self._line and self._gate.has_room() and self._failure is None:
                    self._gate.enter()
                    under_way.add(asyncio.create_task(self._guarded(self._line.popleft())))
                    moved += 1
                if not under_way:
                    return moved
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._movers -= 1
            if not self._movers:
                # Left over when nothing may leave. Whoever still has calls under way comes by anew.
                self._let_go(*(row.reference for row in self._line))
                self._line.clear()
            for task in under_way:
                task.cancel()  # Only when we are cancelled ourselves.

    def _let_go(self, *references: str) -> None:
        self._moving.difference_update(references)
        self._moved.update(references)

    async def _look_after_own(self, now: datetime) -> bool:
        """What we were sending when the store failed has an outcome that nobody wrote down.

        Once nothing of ours is under way any more, all of it may have been done. False until then.
        """
        if self._failure is None:
            return True
        if self._moving:
            return False
        await self._store.write(lambda work: self._rows.abandon(work, now, self._holder))
        self._failure = None
        return True

    async def _look_at_clock(self, now: datetime) -> None:
        """Set back, it would make rows wait for as long as it was wrong."""
        last, self._looked_at = self._looked_at, now
        if last is not None and now < last:
            await self._store.write(lambda work: self._rows.pull_in(work, now))

    async def _guarded(self, row: RowT) -> None:
        """A failure of one must not let go of the others: they are on their way."""
        try:
            await self._move(row)
            await self._gate.keep()
        except LeaseLost as lost:
            self._lost(row, lost)
        except (Conflict, Unavailable, Uncertain) as failure:
            self._failure = self._failure or failure  # Raised by the step, when all are done.
        except Exception as failure:  # noqa: BLE001  # The same, and of this row perhaps.
            await self._failed(row, failure)
        else:
            self._tries.pop(row.reference, None)
        finally:
            self._gate.leave()
            self._let_go(row.reference)

    async def _failed(self, row: RowT, failure: Exception) -> None:
        """The oldest row is tried first: one that always fails would stop all others for ever."""
        if len(self._tries) > _TRIES_KEPT:
            self._tries.clear()
        tries = self._tries[row.reference] = self._tries.get(row.reference, 0) + 1
        if tries < TRIES:
            self._failure = self._failure or failure
            return
        facts = {"destination": self._gate.destination, "subject": row.reference}
        try:
            await self._rows.put_aside(row, failed(failure))
        except Exception as worse:  # noqa: BLE001  # Raised by the step; then it is tried again.
            self._failure = self._failure or worse
        else:
            del self._tries[row.reference]
            log.error("line.row_put_aside", **facts, reason=type(failure).__name__,
                      exc_info=failure)  # fmt: skip

    def _lost(self, row: RowT, lost: LeaseLost) -> None:
        """Taken from our hands; or, between bridges that read the same line, only taken first."""
        facts = {"destination": self._gate.destination, "subject": row.reference}
        if lost.facts.get("holder") == self._holder:
            log.info("line.taken_over", **facts)
        else:
            log.debug("line.another_first", **facts)

    def _is_seen(self) -> bool:
        """Whether what we begin cannot be begun by another as well."""
        return self._lives is None or self._lives.is_seen
