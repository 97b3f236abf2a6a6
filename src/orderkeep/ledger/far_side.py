"""What the MES really has, against what we say it has: S3, S4 and S9.

The MES is listed before our tables are read: whatever it shows then was meant to be sent before,
so a job that our tables do not know is a ghost and not merely new. What our tables claim and the
listing does not show is looked up afterwards, and again after the MES's visibility lag.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from orderkeep.bridge.ports import RECALLED, Mes, MesJob, MesUnavailable
from orderkeep.kernel.ids import WorkOrderRef, order_n, order_no_of
from orderkeep.ledger.checks import Checked
from orderkeep.ledger.evidence import Violation

MOST_PAGES = 50_000
"""A longer listing is not read on: it is more than a workshop makes in its life."""
TRIES = 3
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
BUSY_S = 120.0
"""How long one question waits for a MES that answers, and only has no room: it serves a bridge."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Shown:
    """The jobs a MES shows, by our reference."""

    jobs: defaultdict[str, list[MesJob]] = field(default_factory=lambda: defaultdict(list))

    def __len__(self) -> int:
        return sum(map(len, self.jobs.values()))

    def add(self, jobs: Iterable[MesJob]) -> None:
        """Note jobs; one that is known already is noted once."""
        for job in jobs:
            known = self.jobs[job.reference]
            if job.mes_id not in {one.mes_id for one in known}:
                known.append(job)


@dataclass(slots=True)
class Claims:
    """What our tables say of the MES, gathered order by order."""

    at_mes: dict[str, str] = field(default_factory=dict)
    """Order numbers by references the MES must have."""
    sent: set[str] = field(default_factory=set)
    unsent: dict[str, str] = field(default_factory=dict)
    """Order numbers by references that no intent to send was ever written for."""
    dropped: set[str] = field(default_factory=set)
    """Those of ``unsent`` that never will be sent: their orders are cancelled."""
    orders: set[str] = field(default_factory=set)

    def add(self, checked: Checked) -> None:
        """Note what one order claims."""
        self.orders.add(checked.order_no)
        self.at_mes |= dict.fromkeys(checked.claims, checked.order_no)
        self.sent |= checked.sent
        self.unsent |= dict.fromkeys(checked.asked - checked.sent, checked.order_no)
        self.dropped |= checked.dropped


class FarSide:
    """Asks a MES what it has; ``recalled`` are its words for a job that will not be made."""

    def __init__(
        self,
        mes: Mes,
        sleep: Sleep = asyncio.sleep,
        together: int = 8,
        recalled: Container[str | None] = RECALLED,
    ) -> None:
        self._mes = mes
        self._sleep = sleep
        self._gate = asyncio.Semaphore(together)
        self._recalled = recalled
        self.shown = Shown()
        self.unanswered: set[str] = set()
        """References that the MES gave no usable answer for."""
        self.unfinished: str | None = None
        """Why the last listing was not read to its end: a sentence; None if it was."""
        self.away = False
        """Whether that is because the MES gave no usable answer, so that it is asked no more."""

    async def read_listing(self) -> None:
        """Read the MES's listing, if it has one, as far as it gives one; see ``unfinished``."""
        if not self._mes.capabilities.listing:
            return
        self.away = False
        try:
            self.unfinished = await self._read_listing()
        except MesUnavailable as away:
            self.away = True
            self.unfinished = f"the MES did not answer: {away}"

    async def _read_listing(self) -> str | None:
        cursor: str | None = None
        given: set[str] = set()
        for _ in range(MOST_PAGES):
            jobs, cursor = await self._page(cursor)
            self.shown.add(jobs)
            if cursor is None:
                return None
            if cursor in given:
                return f"the MES's list does not end: it repeated the cursor {cursor!r}"
            given.add(cursor)
        return f"the MES's list does not end: it went on after {MOST_PAGES} pages"

    async def check(self, claims: Claims, still_at_mes: Callable[[str], bool]) -> list[Violation]:
        """Compare what was listed, and what is looked up now, with our claims."""
        if self.away:  # What it showed before counts; beyond that nothing is known of anything.
            return [*_doubled(self.shown, self._recalled), *_ghosts(self.shown, claims)]
        if self._mes.capabilities.lookup:
            known = self._mes.capabilities.listing
            # Without a listing every reference is asked for, but none that may be sent meanwhile.
            await self._look(set(claims.at_mes) if known else claims.sent | claims.dropped)
        missing = await self._missing(claims, still_at_mes)
        doubled = _doubled(self.shown, self._recalled)
        return [*doubled, *missing, *_ghosts(self.shown, claims)]

    async def _missing(
        self, claims: Claims, still_at_mes: Callable[[str], bool]
    ) -> list[Violation]:
        """S4, said only after the visibility lag and a second look."""
        gone = self._absent(claims)
        if gone:
            await self._sleep(self._mes.capabilities.visibility_lag.total_seconds())
            await (self._look(gone) if self._mes.capabilities.lookup else self.read_listing())
        if self.unfinished and not self._mes.capabilities.lookup:
            # What was not reached may be there: an open question, and no accusation.
            self.unanswered |= self._absent(claims)
        return [
            Violation("S4", claims.at_mes[reference], f"the MES has no {reference}, we say it has")
            for reference in sorted(self._absent(claims))
            if still_at_mes(reference)
        ]

    def _absent(self, claims: Claims) -> set[str]:
        return {
            reference
            for reference in claims.at_mes
            if not self.shown.jobs.get(reference) and reference not in self.unanswered
        }

    async def _look(self, references: Iterable[str]) -> None:
        wanted = [one for one in references if not self.shown.jobs.get(one)]
        await asyncio.gather(*(self._find(reference) for reference in wanted))

    async def _find(self, reference: str) -> None:
        async with self._gate:
            try:
                jobs = await self._tried(lambda: self._mes.find(WorkOrderRef(reference)))
            except MesUnavailable:
                self.unanswered.add(reference)
            else:
                self.shown.add(jobs)

    async def _page(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        return await self._tried(lambda: self._mes.list(cursor))

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again a few times, and longer where it is only busy: nothing is known otherwise."""
        failed, waited_s = 0, 0.0
        while True:
            try:
                return await ask()
            except MesUnavailable as away:
                busy = _is_busy(away) and waited_s < BUSY_S
                failed += not busy
                if failed >= TRIES:
                    raise
                pause = away.retry_after.total_seconds() if away.retry_after else 1.0
            pause_s = min(max(pause, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
            await self._sleep(pause_s)
            waited_s += pause_s


def _is_busy(away: MesUnavailable) -> bool:
    """Whether it answered that it has no room, as the bridge's gate understands it."""
    return away.retry_after is not None or away.facts.get("status") == 429


def _doubled(shown: Shown, recalled: Container[str | None]) -> Iterator[Violation]:
    for reference, jobs in sorted(shown.jobs.items()):
        alive = [job.mes_id for job in jobs if job.status not in recalled]
        if len(alive) > 1:
            what = f"{reference} is made {len(alive)} times at the MES: {', '.join(alive)}"
            yield Violation("S3", _owner(reference), what)


def _ghosts(shown: Shown, claims: Claims) -> Iterator[Violation]:
    for reference, jobs in sorted(shown.jobs.items()):
        if not jobs or reference in claims.sent:
            continue
        number = _owner(reference)
        if reference in claims.unsent:
            what = f"the MES has {reference}, which was never sent"
        elif number in claims.orders:
            what = f"the MES has {reference}, which the order never asked for"
        else:
            what = f"the MES has {reference}, and we have no such order"
        yield Violation("S9", number, what)


def _owner(reference: str) -> str:
    """The order a reference belongs to; a stranger's reference names itself."""
    number = order_no_of(reference)
    return number if order_n(number) else reference
