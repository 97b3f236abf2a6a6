"""However many bridges call a foreign system, together they never call more than it bears."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from orderkeep.bridge.places import KEEP_S, Place, Places, Wish, granted
from orderkeep.testing.store import SimStore
from orderkeep.testing.stores import Store

MOST = 6
LONGEST, LINGERING = timedelta(seconds=60), timedelta(seconds=2)
PROOF_S = 10.0


@dataclass
class Town:
    """A clock, and who lives."""

    time: float = 1000.0
    bearable: int = MOST
    """How many calls at once the far side was seen to bear."""
    gone: dict[str, float] = field(default_factory=dict)

    def now(self) -> float:
        return self.time


@dataclass
class Someone:
    """A bridge as the others see it."""

    town: Town
    holder: str
    is_seen: bool = True
    askers: set[str] = field(default_factory=set)

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        self.askers.add(asker)
        ended = self.town.gone
        return {one for one in holders if self.town.now() - ended.get(one, 1e9) >= PROOF_S}


def bridge(store: Store, town: Town, name: str) -> Places:
    places = Places(store, Someone(town, name), "mes", MOST, LONGEST, LINGERING, town.now)
    places.bearable = lambda: town.bearable
    return places


@pytest.fixture
def town() -> Town:
    return Town()


def test_the_places_of_two_destinations_prove_each_for_itself_who_is_gone(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    """Under one name each forgot whom the other had missed, and nobody was ever gone."""
    one = Someone(town, "one")
    lines = [
        Places(store, one, destination, MOST, LONGEST, LINGERING, town.now)
        for destination in ("mes", "crm")
    ]

    for line in lines:
        runner.run(line.step())

    assert len(one.askers) == len(lines)


def test_two_bridges_never_hold_more_than_the_limit_and_each_gets_its_part(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    first, second = bridge(store, town, "first"), bridge(store, town, "second")

    async def story() -> list[tuple[int, int]]:
        seen = []
        await first.wish(100)
        first.used(MOST)
        await second.wish(100)
        seen.append((first.held, second.held))
        first.used(4)
        await first.step()
        town.time += 1
        await second.wish(100)
        seen.append((first.held, second.held))
        first.used(3)
        await first.step()
        town.time += 1
        await second.wish(100)
        seen.append((first.held, second.held))
        return seen

    # The first has four calls under way in between, and may begin none before they are three.
    assert runner.run(story()) == [(6, 0), (3, 2), (3, 3)]


def test_who_has_work_for_all_its_places_gives_up_its_share_all_the_same(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    """It began a call whenever one ended, so that none of its places was ever free to go back."""
    busy, other = bridge(store, town, "busy"), bridge(store, town, "other")

    async def story() -> tuple[int, int]:
        calls = 0
        for _ in range(5):
            await busy.wish(MOST)
            calls = max(busy.held, calls - 1)
            busy.used(calls)
            await other.wish(MOST)
            other.used(other.held)
            await busy.step()
            await other.step()
            town.time += 1
        return busy.held, other.held

    assert runner.run(story()) == (3, 3)


def test_what_the_far_side_was_seen_not_to_bear_nobody_uses(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    first, second = bridge(store, town, "first"), bridge(store, town, "second")

    async def story() -> list[tuple[int, int]]:
        seen = []
        await first.wish(4)
        await second.wish(2)
        first.used(4)
        second.used(2)
        town.bearable = 3
        seen.append((first.held, second.held))
        for _ in range(3):
            first.used(first.held)
            second.used(second.held)
            await first.step()
            await second.step()
            town.time += 1
            await first.wish(MOST)
            await second.wish(MOST)
        seen.append((first.held, second.held))
        town.bearable, town.time = MOST, town.time + 1
        await second.wish(MOST)
        seen.append((first.held, second.held))
        return seen

    assert runner.run(story()) == [(3, 0), (2, 1), (2, 4)]


def test_what_others_may_have_under_way_is_known(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    first, second = bridge(store, town, "first"), bridge(store, town, "second")

    async def story() -> tuple[int, int]:
        await first.wish(2)
        await second.wish(3)
        return await first.elsewhere(), await second.elsewhere()

    assert runner.run(story()) == (3, 2)


def test_what_nobody_uses_goes_back_and_comes_again_at_once(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    first, second = bridge(store, town, "first"), bridge(store, town, "second")

    async def story() -> list[int]:
        await first.wish(MOST)
        first.used(1)
        await first.step()
        await second.wish(MOST)
        return [first.held, second.held]

    assert runner.run(story()) == [1, 5]


def test_who_is_gone_loses_its_places_when_nothing_of_it_can_be_under_way(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    dead, other = bridge(store, town, "dead"), bridge(store, town, "other")

    async def story() -> list[int]:
        seen = []
        await dead.wish(MOST)
        town.gone["dead"] = town.time
        for _ in range(14):
            await other.step()
            await other.wish(2)
            seen.append(other.held)
            town.time += 1
        return seen

    assert runner.run(story()) == [0] * 12 + [2] * 2


def test_who_lives_and_does_not_move_begins_nothing_and_loses_its_places_later(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    stopped, other = bridge(store, town, "stopped"), bridge(store, town, "other")

    async def story() -> tuple[list[int], float]:
        await stopped.wish(MOST)
        await other.step()
        held_still = [stopped.held]
        town.time += KEEP_S + 0.1
        held_still.append(stopped.held)
        while other.held == 0:
            town.time += 1
            await other.step()
            await other.wish(1)
        took = town.time - 1000.0
        await stopped.step()
        held_still.append(stopped.held)
        return held_still, took

    held, took = runner.run(story())
    assert held == [MOST, 0, 0]
    assert took >= KEEP_S + (LONGEST + LINGERING).total_seconds()


def test_whoever_leaves_gives_everything_back(
    store: Store, town: Town, runner: asyncio.Runner
) -> None:
    first, second = bridge(store, town, "first"), bridge(store, town, "second")

    async def story() -> tuple[int, int]:
        await first.wish(MOST)
        await first.leave()
        await second.wish(MOST)
        return first.held, second.held

    assert runner.run(story()) == (0, MOST)


def test_only_what_is_beyond_a_fair_part_is_asked_for() -> None:
    held = [Place(n, "first") for n in range(1, 6)] + [Place(6, "second")]

    assert granted(held, Wish("second", 6, 6)) == ([], [1, 2])
    assert granted(held[:3], Wish("second", 1, 3)) == ([], [1])
    assert granted([Place(1, "first")], Wish("second", 5, 1)) == ([], [])
    # A limit that was lowered: what lies beyond it is nobody's any more.
    assert granted([Place(1), Place(2), Place(3)], Wish("first", 9, 2)) == ([1, 2], [])


class History:
    """Three bridges, and what chance has them do; calls of the dead go on at the far side."""

    def __init__(self, seed: int) -> None:
        self.chance, self.town = Random(seed), Town()
        store = SimStore()
        self.places = {name: bridge(store, self.town, name) for name in "abc"}
        self.calls: dict[str, list[float]] = {name: [] for name in "abc"}
        """Since when each call is under way, by its sender."""
        self.left_behind: list[float] = []
        """Until when calls of the dead go on."""
        self.stopped: set[str] = set()

    @property
    def living(self) -> list[str]:
        return [name for name in self.places if name not in self.town.gone]

    def under_way(self) -> int:
        """Calls at the far side; none lasts longer than the longest."""
        now = self.town.time
        for name, since in self.calls.items():
            self.calls[name] = [at for at in since if now - at < LONGEST.total_seconds()]
        self.left_behind = [until for until in self.left_behind if now < until]
        return sum(map(len, self.calls.values())) + len(self.left_behind)

    async def something(self) -> None:
        """Somebody does something, and time passes."""
        name = self.chance.choice("abc")
        deed = self.chance.choice([self._begin, self._begin, self._end, self._step, self._step])
        if name in self.living and self.chance.random() < 0.1:
            self._interrupt(name)
        elif name in self.living and name not in self.stopped:
            await deed(name)
        self.town.time += self.chance.random()

    async def _begin(self, name: str) -> None:
        places, calls = self.places[name], self.calls[name]
        await places.wish(len(calls) + self.chance.randint(1, MOST))
        if len(calls) < places.held:
            calls.append(self.town.time)
        places.used(len(calls))
        if self.chance.random() < 0.1:
            self.town.bearable = self.chance.randint(1, MOST)

    async def _end(self, name: str) -> None:
        del self.calls[name][:1]
        self.places[name].used(len(self.calls[name]))

    async def _step(self, name: str) -> None:
        self.places[name].used(len(self.calls[name]))
        await self.places[name].step()

    def _interrupt(self, name: str) -> None:
        """Stop it or let it go on; rarely, kill it."""
        if self.chance.random() < 0.1:
            self.town.gone[name] = self.town.time
            goes_on = self.town.time + PROOF_S + LINGERING.total_seconds()
            self.left_behind += [goes_on] * len(self.calls[name])
            self.calls[name] = []
        else:
            self.stopped ^= {name}

    async def rest(self) -> None:
        """Nothing is called for a while, and whoever was stopped goes on."""
        self.town.bearable = MOST
        self.stopped.clear()
        self.calls = {name: [] for name in self.places}
        for _ in range(120):
            self.town.time += 1
            for name in self.living:
                await self._step(name)


@pytest.mark.parametrize("seed", range(25))
def test_in_no_history_more_calls_are_under_way_than_the_system_bears(seed: int) -> None:
    history = History(seed)

    async def story() -> None:
        for _ in range(400):
            await history.something()
            assert history.under_way() <= MOST
            # Of what is known to be too much, none begins.
            held = sum(places.held for places in history.places.values())
            assert held <= history.town.bearable
        await history.rest()
        for name in history.living[:1]:
            await history.places[name].wish(MOST)
            assert history.places[name].held == MOST, "places are lost for ever"

    asyncio.run(story())
