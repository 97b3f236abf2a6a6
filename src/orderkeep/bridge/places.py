"""How many calls a foreign system is given at once by all bridges together.

Its limit is so many places, each a row. A bridge calls only while it holds a place for the call,
and keeps places that it uses, so that a call costs no commit. What it does not use goes back within
seconds; what another lacks for its fair part is asked back: no call begins in it any more, and it
goes straight to whoever lacks it. Where the far side was seen to bear less than its limit, places
beyond that are not used.

A bridge that is proven gone loses its places once nothing that it sent can be under way over there;
one that lives and does not move loses them when its longest call is over, and begins none before it
has taken them anew.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import msgspec
import structlog

from orderkeep.bridge.lives import Lives
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.store import Store

KEEP_S = 5.0
"""How long a place may be used after it was last confirmed; it is confirmed every second."""
AGAIN_S = 0.25
"""How long a bridge that got fewer places than it wished waits before it wishes again."""

log = structlog.get_logger()


class Place(msgspec.Struct, frozen=True):
    """The right to one call at once; ``beat`` grows whenever its holder confirms it."""

    n: int
    holder: str | None = None
    beat: int = 0
    asked_by: str | None = None
    """The bridge that lacks it, and gets it next."""


class PlaceStore(Protocol):
    """Places of foreign systems."""

    def all(self, destination: str) -> Sequence[Place]:
        """Those that there are, in order."""
        ...

    def lock(self, destination: str, most: int) -> Sequence[Place]:
        """The same, nobody else's to change before the commit; ``most`` there are at least."""
        ...

    def give(self, destination: str, numbers: Iterable[int], holder: str | None) -> None:
        """Give places to a holder, or to nobody."""
        ...

    def ask(self, destination: str, numbers: Iterable[int], holder: str) -> None:
        """Note that a holder lacks them."""
        ...

    def confirm(self, destination: str, holder: str, beat: int) -> None:
        """Write a new beat on the holder's places."""
        ...


class PlaceWork(Protocol):
    """A unit of work with places."""

    @property
    def places(self) -> PlaceStore: ...


class Wish(msgspec.Struct, frozen=True):
    """Who wants how many places of how many in all."""

    holder: str
    wanted: int
    most: int


def granted(places: Sequence[Place], wish: Wish) -> tuple[list[int], list[int]]:
    """The free places to take, and those of others to ask for.

    Only what another holds beyond its fair part is asked for: a part that is used up by somebody
    whose work is as urgent as ours stays where it is.
    """
    usable = [one for one in places if one.n <= wish.most]
    held = [one for one in usable if one.holder == wish.holder]
    missing = max(0, min(wish.wanted, wish.most) - len(held))
    take = [one.n for one in usable if one.holder is None][:missing]
    others = {one.holder for one in usable if one.holder} - {wish.holder}
    fair = max(1, wish.most // (len(others) + 1))
    lacking = min(wish.wanted, fair) - len(held) - len(take)
    spare = [n for other in sorted(others) for n in _beyond(usable, other, fair)]
    already = sum(one.asked_by == wish.holder for one in usable)
    return take, spare[: max(0, lacking - already)]


def _beyond(places: Sequence[Place], holder: str, fair: int) -> list[int]:
    theirs = [one for one in places if one.holder == holder]
    unasked = [one.n for one in theirs if one.asked_by is None]
    return unasked[: max(0, len(unasked) - fair)]


def _newest(places: Sequence[Place], holder: str | None = None) -> int:
    return max((one.beat for one in places if holder in {None, one.holder}), default=0)


class Places:
    """The places of one destination that this process holds.

    ``longest`` is how long a call of any bridge may last, ``lingering`` how much longer what its
    sender gave up, or left behind when it died, may go on over there.
    """

    def __init__(  # Each used; most are times.
        self,
        store: Store[PlaceWork],
        lives: Lives,
        destination: str,
        most: int,
        longest: timedelta,
        lingering: timedelta,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._seconds = seconds
        """A clock that never goes back; the event loop's, unless given."""
        self._lives = lives
        self._destination = destination
        self._most = most
        self._lingering_s = lingering.total_seconds()
        self._silent_s = KEEP_S + longest.total_seconds() + self._lingering_s
        self.bearable: Callable[[], int] = lambda: most
        """How many of the places may be used, as far as is known of the far side."""
        self._mine: Sequence[Place] = ()
        self._in_use = 0
        self._confirmed_at = self._again_at = 0.0
        self._peak = 0
        self._changing = asyncio.Lock()
        self._beats: dict[str, tuple[int, float]] = {}
        """Of other bridges: their beat, and since when it has not grown."""
        self._gone: dict[str, float] = {}

    @property
    def held(self) -> int:
        """How many calls may be under way now."""
        sure = self._now() - self._confirmed_at <= KEEP_S and self._lives.is_seen
        return sum(map(self._is_ours, self._mine)) if sure else 0

    def used(self, calls: int) -> None:
        """Note how many calls are under way now."""
        self._in_use = calls
        self._peak = max(self._peak, calls)

    async def wish(self, wanted: int) -> None:
        """Try to hold so many places."""
        wanted = min(wanted, self.bearable())
        if wanted <= self.held or self._now() < self._again_at:
            return
        async with self._changing:
            if wanted <= self.held:  # Somebody else of ours has wished meanwhile.
                return
            began = self._now()
            wish = Wish(self._lives.holder, wanted, self.bearable())
            self._mine = await self._store.write(lambda work: self._take(work.places, wish))
            self._confirmed_at = began
            if self.held < wanted:
                self._again_at = self._now() + AGAIN_S

    async def elsewhere(self) -> int:
        """How many calls others may have under way.

        Raises:
            Unavailable: the store could not be asked.
        """
        found = await self._store.read(lambda work: work.places.all(self._destination))
        return sum(one.holder not in {None, self._lives.holder} for one in found)

    async def step(self) -> int:
        """Once a second: confirm what we hold, give back what we can, look after the others."""
        async with self._changing:
            found = await self._store.read(lambda work: work.places.all(self._destination))
            if mine := [one for one in found if one.holder == self._lives.holder]:
                await self._confirm(mine)
            else:
                self._mine = ()
        await self._free(await self._lost(found))
        return 0

    async def leave(self) -> None:
        """Give everything back: nothing of ours is under way any more."""
        async with self._changing:
            if not self._mine:
                return
            count, self._mine = len(self._mine), ()
            with suppress(Unavailable, Uncertain):  # Whoever finds us gone gives them back.
                await self._store.write(lambda work: self._give_back(work.places, count))

    # --- ours -----------------------------------------------------------------------------------

    def _is_ours(self, place: Place) -> bool:
        """Whether a call may begin in a place that we hold."""
        return place.asked_by is None and place.n <= self.bearable()

    def _take(self, places: PlaceStore, wish: Wish) -> Sequence[Place]:
        found = places.lock(self._destination, self._most)
        take, ask = granted(found, wish)
        places.give(self._destination, take, wish.holder)
        places.ask(self._destination, ask, wish.holder)
        places.confirm(self._destination, wish.holder, _newest(found) + 1)
        mine = [one for one in found if one.holder == wish.holder]
        return [*mine, *(Place(n, wish.holder) for n in take)]

    async def _confirm(self, mine: Sequence[Place]) -> None:
        in_use, spent = self._in_use, sum(not self._is_ours(one) for one in mine)
        known = {one.n for one in self._mine}  # What was just given to us nobody could use yet.
        unused = sum(one.n in known for one in mine) - max(self._peak, in_use)
        back = max(0, min(len(mine) - in_use, max(spent, unused)))
        self._peak = in_use
        # Before they are given back: no call of ours may begin in one of them meanwhile.
        self._mine, began = self._last_to_go(mine, back), self._now()
        self._mine = await self._store.write(lambda work: self._give_back(work.places, back))
        self._confirmed_at = began

    def _last_to_go(self, mine: Sequence[Place], count: int) -> Sequence[Place]:
        """What is left when so many have gone, those first in which no call may begin."""
        return sorted(mine, key=lambda one: (self._is_ours(one), -one.n))[count:]

    def _give_back(self, places: PlaceStore, count: int) -> Sequence[Place]:
        """Give some back, straight to whoever lacks them; what is left."""
        found = places.lock(self._destination, self._most)
        mine = [one for one in found if one.holder == self._lives.holder]
        left = self._last_to_go(mine, count)
        for one in mine:
            if one not in left:
                places.give(self._destination, [one.n], one.asked_by)
        places.confirm(self._destination, self._lives.holder, _newest(found) + 1)
        return left

    # --- the others' ----------------------------------------------------------------------------

    async def _lost(self, found: Sequence[Place]) -> set[str]:
        """Other holders of whom nothing can be under way any more."""
        now = self._now()
        others = {one.holder for one in found if one.holder} - {self._lives.holder}
        beats = {other: _newest(found, other) for other in others}
        self._beats = {
            one: self._beats[one] if self._beats.get(one, (None,))[0] == beat else (beat, now)
            for one, beat in beats.items()
        }
        gone = await self._lives.gone(beats, f"places {self._destination}")
        self._gone = {one: self._gone.get(one, now) for one in gone}
        silent = {one for one, (_, since) in self._beats.items() if now - since >= self._silent_s}
        return silent | {one for one, at in self._gone.items() if now - at >= self._lingering_s}

    async def _free(self, lost: set[str]) -> None:
        for holder in sorted(lost):
            freed = await self._store.write(lambda work: self._release(work.places, holder))  # noqa: B023  # Run before the next.
            log.warning("places.freed", destination=self._destination, holder=holder, count=freed)

    def _release(self, places: PlaceStore, holder: str) -> int:
        found = places.lock(self._destination, self._most)
        theirs = [one for one in found if one.holder == holder]
        if _newest(found, holder) != self._beats[holder][0]:
            return 0  # It moves again, or somebody was faster.
        places.give(self._destination, [one.n for one in theirs], None)
        return len(theirs)

    def _now(self) -> float:
        return self._seconds() if self._seconds else asyncio.get_running_loop().time()
