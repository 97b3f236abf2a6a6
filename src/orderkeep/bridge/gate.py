"""The gate to a foreign system: every call passes it, and only it says whether one may leave."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from msgspec.structs import replace

from orderkeep.bridge import pace as p
from orderkeep.bridge import sentences as say
from orderkeep.bridge.destinations import Condition, Destination, State, state_of
from orderkeep.bridge.pace import Bounds, Breaker, Pace
from orderkeep.bridge.places import Places
from orderkeep.bridge.ports import (
    Capabilities,
    Changes,
    Mes,
    MesJob,
    MesUnavailable,
    WorkOrder,
)
from orderkeep.bridge.tray import Unknown
from orderkeep.bridge.windows import ALWAYS_THERE, Maintenance
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused, Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.kernel.store import Store

BEFORE_KEEP = failpoint("pace.before_keep", "the far side was found away or back, not on disk")
AFTER_KEEP = failpoint("pace.after_keep", "what we know of the far side's health is on disk")

LOOK_AGAIN = timedelta(milliseconds=250)
"""How old what others have learnt may be when one more of many calls leaves."""

T = TypeVar("T")

log = structlog.get_logger()


class Gate:
    """Counts the calls under way to one destination and keeps how it is doing.

    What is known of it changes in memory with every call; what a new process, or another one, has
    to know (``pace.is_milestone``) is written down before anything else is sent.
    """

    def __init__(
        self,
        store: Store[BridgeWork],
        clock: Clock,
        destination: str,
        bounds: Bounds,
        maintenance: Maintenance = ALWAYS_THERE,
        lingering: timedelta = timedelta(0),
        places: Places | None = None,
    ) -> None:
        self.destination = destination
        self.bounds = bounds
        self.maintenance = maintenance
        self._store = store
        self._clock = clock
        self._lingering = lingering
        """How long a call that we gave up may still keep its place over there."""
        self._row = Destination(destination)
        self._pace = p.begin(bounds)
        self._kept: Pace | None = None
        """As it was last written or read."""
        self._was_closed = False
        """Whether a maintenance window held everything back when last looked at."""
        self._keeping = asyncio.Lock()
        self._under_way = 0
        self._given_up: list[datetime] = []
        """Until when calls that were given up may go on over there."""
        self.places = places
        """Given where others call the same destination."""
        self._looked_at: datetime | None = None
        if places is not None:
            places.bearable = lambda: p.bearable(self._pace, bounds)

    # --- whether calls may leave ----------------------------------------------------------------

    async def look(self) -> None:
        """Read what people and other processes have made of it since."""
        row = await self._store.read(lambda work: work.destinations.get(self.destination))
        self._adopt(row)
        self._looked_at = self._clock.now()
        closed = self.maintenance.until(self._looked_at) is not None
        if self._was_closed and not closed:
            self._pace = p.let_in_again(self._pace, self.bounds, self._looked_at)
        self._was_closed = closed

    def _adopt(self, row: Destination) -> None:
        if row.version < self._row.version:  # Read before we wrote.
            row = replace(self._row, paused=row.paused)
        elif row.pace is not None and (self._kept is None or row.version > self._row.version):
            self._pace = p.also_seen(row.pace, self._known, self._pace)
            self._kept = row.pace
        self._row = row

    @property
    def cursor(self) -> str | None:
        """How far the feed of changes had been read when last looked at."""
        return self._row.cursor

    @property
    def state(self) -> State:
        """Whether calls may leave now, and if not, who or what holds them."""
        row = Destination(self.destination, pace=self._pace, paused=self._row.paused)
        return state_of(row, self.bounds, self.maintenance, self._clock.now())

    def may_call(self) -> bool:
        """Whether one more call may leave now, if there is a place for it."""
        now = self._clock.now()
        if self._row.paused is not None or self.maintenance.until(now) is not None:
            return False
        return self._under_way < p.room(self._pace, self.bounds, now) and (
            self._still_there() < self.bounds.most
        )

    async def reserve(self, calls: int) -> None:
        """Get places for so many more calls, as far as they may leave and others leave any."""
        if self.places is None:
            return
        await self._look_again()
        if self.may_call():
            room = p.room(self._pace, self.bounds, self._clock.now())
            more = min(calls, room - self._under_way)
            await self.places.wish(self._still_there() + more)

    async def _look_again(self) -> None:
        """Between many calls: what others were refused, or asked to wait for, holds for us too."""
        now = self._clock.now()
        if self._looked_at is None or not now - LOOK_AGAIN < self._looked_at <= now:
            await self.look()

    def has_room(self) -> bool:
        """Whether one more call may leave now, and there is a place for it; see ``reserve``."""
        if self.places is not None and self._still_there() >= self.places.held:
            return False
        return self.may_call()

    def _still_there(self) -> int:
        """Calls under way, and those that were given up and may go on over there."""
        now = self._clock.now()
        self._given_up = [end for end in self._given_up if now < end <= now + self._lingering]
        return self._under_way + len(self._given_up)

    def enter(self) -> None:
        """Take a place; ask ``has_room`` first, without waiting between the two."""
        self._under_way += 1
        self._note()
        self._pace = p.probing(self._pace, self._clock.now())

    def leave(self) -> None:
        """Give a place back."""
        self._under_way -= 1
        self._note()

    def _note(self) -> None:
        if self.places is not None:
            self.places.used(self._still_there())

    # --- what became of a call ------------------------------------------------------------------

    async def call(self, doing: Awaitable[T], *, timed: bool = False) -> T:
        """Do a call, for which a place has been taken, and learn from what becomes of it.

        ``timed``: it takes as long as others of its kind, so that a slow one means something.
        """
        began = self._clock.now()
        try:
            result = await doing
        except Refused:
            self._answered(began, timed=timed)
            raise
        except Unavailable as away:
            await self._away(away, began)
            raise
        except Uncertain as unknown:
            self._no_answer(unknown.facts.get("cause"), str(unknown), began)
            raise
        except Exception as surprise:
            self._no_answer(None, type(surprise).__name__, began)
            raise
        self._answered(began, timed=timed)
        return result

    def _answered(self, began: datetime, *, timed: bool) -> None:
        now = self._clock.now()
        full = self._under_way >= p.room(self._pace, self.bounds, now)
        self._pace = p.answered(self._pace, self.bounds, began, now, full=full, timed=timed)

    async def _away(self, away: Unavailable, began: datetime) -> None:
        if away.retry_after is None and away.facts.get("status") != 429:
            self._no_answer(away.facts.get("cause"), str(away), began)
            return
        at_once = await self._elsewhere() + self._under_way
        now = self._clock.now()
        self._pace = p.no_room(self._pace, self.bounds, at_once, away.retry_after, now)

    async def _elsewhere(self) -> int:
        """Calls that other processes may have under way; none of them is the safe side."""
        if self.places is None:
            return 0
        try:
            return await self.places.elsewhere()
        except (Unavailable, Uncertain):
            return 0

    def _no_answer(self, cause: object, why: str, began: datetime) -> None:
        now = self._clock.now()
        if self._lingering and "Timeout" in str(cause):
            self._given_up.append(now + self._lingering)
        self._pace = p.unanswered(self._pace, self.bounds, began, now, why)

    # --- keeping it -----------------------------------------------------------------------------

    async def keep(self) -> None:
        """Write down what others have to know, if there is any such news."""
        async with self._keeping:
            while p.is_milestone(self._known, self._pace):
                await self._keep(self._pace)

    @property
    def _known(self) -> Pace:
        return self._kept or Pace()

    async def _keep(self, news: Pace) -> None:
        self._tell(self._known, news)
        reach(BEFORE_KEEP)
        version = self._row.version
        written = await self._store.write(
            lambda work: work.destinations.keep_pace(self.destination, news, version)
        )
        reach(AFTER_KEEP)
        if written:
            self._kept = news
            self._row = replace(self._row, version=version + 1, pace=news)
        else:
            # Somebody else wrote, or resumed it, since: theirs counts, with what we were refused.
            await self.look()

    def _tell(self, known: Pace, news: Pace) -> None:
        if known.breaker is news.breaker:
            return
        facts = {"destination": self.destination, "reason": news.why}
        if news.breaker is Breaker.OPEN:
            log.warning("destination.away", **facts)
        elif news.breaker is Breaker.CLOSED:
            log.info("destination.back", **facts)


class GatedMes:
    """A MES of which every call teaches the gate; who calls has taken a place."""

    def __init__(self, mes: Mes, gate: Gate) -> None:
        self._mes = mes
        self._gate = gate

    @property
    def capabilities(self) -> Capabilities:
        return self._mes.capabilities

    async def submit(self, work_order: WorkOrder) -> MesJob:
        return await self._gate.call(self._mes.submit(work_order), timed=True)

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        return await self._gate.call(self._mes.find(reference))

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        return await self._gate.call(self._mes.list(cursor))

    async def changes(self, cursor: str | None) -> tuple[Sequence[MesJob | Unknown], str | None]:
        if not isinstance(self._mes, Changes):
            raise MesUnavailable(say.MES_WITHOUT_FEED())
        return await self._gate.call(self._mes.changes(cursor))

    async def recall(self, reference: WorkOrderRef) -> None:
        await self._gate.call(self._mes.recall(reference))


__all__ = ["Condition", "Gate", "GatedMes", "State"]
