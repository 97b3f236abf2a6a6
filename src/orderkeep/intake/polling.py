"""Reads what is new in a database that a shop hands its orders over through; never writes there.

Reading "everything above the last number" would skip orders: a number or an instant is given out
before its transaction commits, and an older one may commit later. So each look begins a stretch
behind the last row; what is read again is known by then, and changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import structlog

from orderkeep.intake import sentences as say
from orderkeep.intake.homes import home_of
from orderkeep.intake.mapping import Message, Source
from orderkeep.intake.modes import BEGINNING, Mode, SourceOvertaken, SourceState
from orderkeep.intake.receiving import AFTER_ACK, AFTER_KEEP, BEFORE_KEEP, settle, understand
from orderkeep.intake.roads import DatabaseRoad
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Invalid, Refused, Unavailable
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.store import Store
from orderkeep.orders.home import Home

PAGE: Final = 500
"""Rows in one question; more are asked for at once."""
LARGE_PAGE: Final = 5_000
"""Rows in one question about what was there before: of those only the numbers are kept."""
REMEMBERED: Final = 100_000
"""Rows known to have been taken since we began: those of the overlap need not be asked about."""
START: Final = "-"
"""Kept where there was no row yet when we began."""
KIND: Final = "row"
"""What a mapping calls a row."""

log = structlog.get_logger()

Position: TypeAlias = int | datetime | str
"""A value of the cursor's column; a text where a database keeps instants as texts."""
TableRow: TypeAlias = Mapping[str, Any]


class Taker(Protocol):
    """What is done with messages in a mode."""

    async def __call__(self, messages: Sequence[Message], lease_token: int | None = None) -> Any:
        """Keep messages; those that a look has found only while its lease is the newest.

        Raises:
            SourceOvertaken: it is not.
        """
        ...


class Rows(Protocol):
    """A database's rows."""

    async def __call__(
        self, road: DatabaseRoad, since: Position | None, most: int
    ) -> Sequence[TableRow]:
        """Rows from a position on (it among them), in its order; none without a position.

        Raises:
            Invalid, Unavailable: nothing was read.
        """
        ...


_encoder = msgspec.json.Encoder(order="sorted", enc_hook=str)


def message_of(row: TableRow) -> Message:
    """A row as mappings read it: the same row, the same bytes."""
    return Message(_encoder.encode({name: _plain(row[name]) for name in row}), {"type": KIND})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else value


def behind(position: Position, overlap: timedelta | int) -> Position:
    """Where the next look begins.

    Raises:
        Refused: the column and the overlap do not go together.
    """
    if isinstance(position, int) and isinstance(overlap, int):
        return position - overlap
    if isinstance(position, datetime) and isinstance(overlap, timedelta):
        return position - overlap
    if isinstance(position, str) and isinstance(overlap, timedelta):
        return _earlier(position, overlap)
    raise Refused(say.UNEQUAL_OVERLAP())


def _earlier(said: str, overlap: timedelta) -> str:
    """An instant that is kept as a text, in the same writing: such texts are compared as texts."""
    try:
        instant = datetime.fromisoformat(said) - overlap
    except ValueError as wrong:
        raise Refused(say.NO_INSTANTS()) from wrong
    return instant.isoformat(
        sep="T" if "T" in said else " ", timespec="auto" if "." in said else "seconds"
    )


def encoded(position: Position | None) -> str:
    """A position as it is kept; None is before the first row."""
    if position is None:
        return START
    return f"@{position.isoformat()}" if isinstance(position, datetime) else repr(position)


def decoded(kept: str) -> Position | None:
    """The position that was kept; None is before the first row."""
    if kept == START:
        return None
    if kept.startswith("@"):
        return datetime.fromisoformat(kept[1:])
    return kept[1:-1] if kept.startswith("'") else int(kept)


class _Place:
    """How far a look has read without passing a row that the shadow still looks for.

    Of that row it is not known yet whose it is: whoever reads on has to come by it again.
    """

    def __init__(self, at: Position | None, column: str) -> None:
        self.at = at
        self._column = column
        self._stays = False

    def move(self, rows: Sequence[TableRow], refs: Sequence[str], not_passed: set[str]) -> None:
        """Go on over a page, up to the first row that is not to be passed."""
        for row, ref in zip(rows, refs, strict=True):
            self._stays = self._stays or ref in not_passed
            if self._stays:
                return
            self.at = row[self._column] if self.at is None else max(self.at, row[self._column])


class Poller:
    """Looks again and again for what is new in the database of one source."""

    def __init__(
        self,
        source: Source,
        store: Store[Any],
        takers: Mapping[Mode, Taker],
        rows: Rows,
        astray: Callable[[DatabaseRoad], Awaitable[bool]],
        clock: Clock,
    ) -> None:
        assert isinstance(source.road, DatabaseRoad)  # noqa: S101  # Others are not polled.
        self._source = source
        self._name = source.name
        self._road = source.road
        self._store = store
        self._takers = takers
        self._rows = rows
        self._astray = astray
        self._clock = clock
        self._taken: dict[tuple[Mode, bytes], str] = {}
        self._looked_s = float("-inf")
        self._lease_token = 0

    async def step(self) -> int:
        """Look if it is time; 0, for a rest till the next call."""
        state = await self._state()
        if state.is_settling:
            # Between two looks nothing is in hand; what another still has, it cannot keep.
            await settle(self._store, self._name, self._clock.now())
        due = monotonic() - self._looked_s >= self._road.every.total_seconds()
        if state.mode not in self._takers or not due:
            return 0
        self._looked_s = monotonic()
        try:
            await self._look_once()
        except SourceOvertaken:
            log.info("source.overtaken", channel=self._name)
        return 0

    async def _look_once(self) -> None:
        """Look under a lease of its own; whoever looked before keeps nothing any more."""
        state = await self._store.write(lambda work: work.sources.lease(self._name))
        if state.mode not in self._takers:
            return
        self._lease_token = state.lease_token
        trouble, last_at, now = None, None, self._clock.now()
        try:
            last_at = now if await self._look(state) else None
        except (Unavailable, Invalid, Refused) as wrong:
            trouble = str(wrong)[:300]
            log.warning("source.away", channel=self._name, reason=type(wrong).__name__)
        await self._mine(lambda work: work.sources.look_after(self._name, now, last_at, trouble))

    async def _mine(self, unit: Callable[[Any], None]) -> None:
        """Write, while this look is the newest.

        Raises:
            SourceOvertaken: it is not; nothing was written.
        """

        def fenced(work: Any) -> None:
            work.sources.require(self._name, self._lease_token)
            unit(work)

        await self._store.write(fenced)

    async def _state(self) -> SourceState:
        state: SourceState = await self._store.read(lambda work: work.sources.get(self._name))
        return state

    async def _look(self, state: SourceState) -> bool:
        """Take what is new, page by page; whether there was anything."""
        if state.cursor is None or state.cursor == BEGINNING:
            await self._require_places()
            return await self._begin()
        anything, place = False, _Place(decoded(state.cursor), self._road.cursor)
        since = None if place.at is None else behind(place.at, self._road.overlap)
        async for found in self._pages(since, PAGE):
            left = await self._left(state.mode, found)
            if fresh := self._fresh(state.mode, found, left):
                anything = True
                await self._take(state.mode, fresh)
            await self._go_on(place, state.mode, found, left)
            if fresh:
                reach(AFTER_ACK)
        await self._require_places()  # Last: who has none keeps nobody waiting who has one.
        return anything

    async def _require_places(self) -> None:
        """Refuse what would be passed over for ever: "from here on" finds no row without a place.

        Raises:
            Refused: there is such a row.
        """
        if await self._astray(self._road):
            raise Refused(say.WITHOUT_PLACE(column=self._road.cursor))

    def _fresh(self, mode: Mode, rows: Sequence[TableRow], left: set[str]) -> Sequence[TableRow]:
        new = (row for row in rows if self._key(mode, row) not in self._taken)
        return [row for row in new if self._ref(mode, row) not in left]

    async def _left(self, mode: Mode, rows: Sequence[TableRow]) -> set[str]:
        """Numbers not to be taken yet: the shadow looks for them, the old road may have them."""
        if mode is not Mode.LIVE or await self._store.read(self._is_mirrored):
            return set()  # A copy is never made.
        return await self._looked_for(mode, rows)

    async def _looked_for(self, mode: Mode, rows: Sequence[TableRow]) -> set[str]:
        refs = {self._ref(mode, row) for row in rows} - {""}
        found: set[str] = await self._store.read(
            lambda work: work.shadow.waited_for(self._name, refs)
        )
        return found

    def _is_mirrored(self, work: Any) -> bool:
        partner = work.access.partner_named(self._source.partner)
        return partner is not None and (
            home_of(work.homes.all(), partner.id, self._name) is Home.MIRRORED
        )

    async def _go_on(
        self, place: _Place, mode: Mode, rows: Sequence[TableRow], left: set[str]
    ) -> None:
        """Keep how far has been read, where that has changed."""
        before, refs = place.at, [self._ref(mode, row) for row in rows]
        # What was left may have been found meanwhile: it is not taken by that.
        not_passed = left if mode is Mode.LIVE else await self._looked_for(mode, rows)
        place.move(rows, refs, not_passed)
        if place.at != before:
            await self._keep(encoded(place.at))

    async def _pages(self, since: Position | None, size: int) -> AsyncIterator[Sequence[TableRow]]:
        """The rows from a position on; the last page is not full."""
        most = size
        while True:
            yield (found := await self._rows(self._road, since, most))
            if len(found) < most:
                return
            last = found[-1][self._road.cursor]
            # A page full of one value would be the same page again.
            most, since = (size, last) if last != since else (most * 2, since)

    async def _take(self, mode: Mode, rows: Sequence[TableRow]) -> None:
        reach(BEFORE_KEEP)
        await self._takers[mode]([message_of(row) for row in rows], self._lease_token)
        if mode is Mode.TAP:
            await self._leave_to_the_old_road(rows)
        reach(AFTER_KEEP)
        for row in rows:
            self._remember(self._key(mode, row), self._ref(mode, row))

    async def _begin(self) -> bool:
        """Remember the number of every row that is there: those orders have gone the old road.

        A row that is changed later, even years later, is still the same order. The place is kept
        last: whoever is killed on the way begins anew.
        """
        last: Position | None = None
        async for found in self._pages(None, LARGE_PAGE):
            if len(found) >= LARGE_PAGE and last is None:
                await self._keep(BEGINNING)
            await self._leave_to_the_old_road(found)
            last = found[-1][self._road.cursor] if found else last
        await self._keep(encoded(last))
        return False

    async def _leave_to_the_old_road(self, rows: Sequence[TableRow]) -> None:
        # Beside the loop: a page takes long enough for others to notice.
        refs = await asyncio.to_thread(self._numbers, rows)
        await self._mine(lambda work: work.shadow.there_before(self._name, refs))

    def _numbers(self, rows: Sequence[TableRow]) -> set[str]:
        """The order numbers of rows that bring orders."""
        understood = (understand(self._source, message_of(row)) for row in rows)
        return {one.client_ref for one in understood if one.submission}

    async def _keep(self, cursor: str) -> None:
        await self._mine(lambda work: work.sources.keep_cursor(self._name, cursor))

    def _key(self, mode: Mode, row: TableRow) -> tuple[Mode, bytes]:
        return mode, sha256(message_of(row).body).digest()

    def _ref(self, mode: Mode, row: TableRow) -> str:
        """The order number of a row; none where the mapping finds none."""
        known = self._taken.get(self._key(mode, row))
        return understand(self._source, message_of(row)).client_ref if known is None else known

    def _remember(self, key: tuple[Mode, bytes], ref: str) -> None:
        self._taken[key] = ref
        if len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]
