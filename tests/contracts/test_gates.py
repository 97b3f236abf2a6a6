"""On every store: what one bridge is refused by a foreign system holds all bridges back."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from orderkeep.bridge.crm import CRM, CrmUnavailable
from orderkeep.bridge.gate import Gate
from orderkeep.bridge.pace import Bounds, Pace
from orderkeep.bridge.places import Places
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOST = 6
BOUNDS = Bounds(MOST, rest=timedelta(seconds=5))
NEVER = timedelta(0)


@dataclass
class Alive:
    """A bridge that everybody sees."""

    holder: str
    is_seen: bool = True

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        return set()


class Bridges:
    """Two gates to one CRM, as two processes have them."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock = store, TestClock(NOON)
        self.one, self.other = self._gate("one"), self._gate("other")

    def _gate(self, holder: str) -> Gate:
        places = Places(
            self.store, Alive(holder), CRM, MOST, timedelta(seconds=30), NEVER, self._seconds
        )
        return Gate(self.store, self.clock, CRM, BOUNDS, places=places)

    def _seconds(self) -> float:
        return (self.clock.now() - NOON).total_seconds()

    async def kept(self) -> Pace:
        row = await self.store.read(lambda work: work.destinations.get(CRM))
        assert row.pace is not None
        return row.pace

    async def begin(self, gate: Gate, calls: int) -> int:
        """Begin so many calls, as far as that is possible; how many."""
        await gate.reserve(calls)
        begun = 0
        while begun < calls and gate.has_room():
            gate.enter()
            begun += 1
        return begun

    async def both_begin(self, calls: int) -> list[int]:
        """Each begins so many calls, as far as that is possible; how many each did."""
        return [await self.begin(gate, calls) for gate in (self.one, self.other)]

    async def refused(self, gate: Gate, retry_after: float) -> None:
        """One of its calls finds no room over there; not written down yet."""

        async def say() -> None:
            raise CrmUnavailable("no room", status=429, retry_after=timedelta(seconds=retry_after))

        with pytest.raises(CrmUnavailable):
            await gate.call(say())
        gate.leave()

    def pass_by(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))


@pytest.fixture
def bridges(store: Store) -> Bridges:
    return Bridges(store)


def test_what_one_was_asked_to_wait_for_the_other_waits_for_between_two_of_its_calls(
    bridges: Bridges, runner: asyncio.Runner
) -> None:
    async def story() -> tuple[list[int], int]:
        begun = await bridges.both_begin(2)
        await bridges.refused(bridges.one, retry_after=3)
        await bridges.one.keep()
        bridges.pass_by(0.3)
        begun.append(await bridges.begin(bridges.other, 1))
        bridges.pass_by(3)
        bridges.other.leave()
        bridges.other.leave()
        return begun, await bridges.begin(bridges.other, 1)

    assert runner.run(story()) == ([2, 2, 0], 1)


def test_calls_of_the_others_count_in_what_was_too_much(
    bridges: Bridges, runner: asyncio.Runner
) -> None:
    async def story() -> Pace:
        await bridges.begin(bridges.other, 2)
        await bridges.begin(bridges.one, 2)
        await bridges.refused(bridges.one, retry_after=1)
        await bridges.one.keep()
        return await bridges.kept()

    assert runner.run(story()).limit == 3


def test_together_they_keep_to_what_one_of_them_was_refused(
    bridges: Bridges, runner: asyncio.Runner
) -> None:
    async def story() -> int:
        begun = await bridges.both_begin(2)
        await bridges.refused(bridges.one, retry_after=1)
        begun[0] -= 1
        await bridges.one.keep()
        for _ in range(30):
            bridges.pass_by(1.1)
            for n, gate in enumerate((bridges.one, bridges.other)):
                begun[n] += await bridges.begin(gate, MOST)
                assert gate.places is not None
                await gate.places.step()
        return sum(begun)

    assert runner.run(story()) == 3


def test_both_are_refused_at_once_and_neither_knowledge_is_lost(
    bridges: Bridges, runner: asyncio.Runner
) -> None:
    async def story() -> Pace:
        await bridges.both_begin(2)
        await bridges.refused(bridges.one, retry_after=9)
        await bridges.refused(bridges.other, retry_after=2)
        await bridges.refused(bridges.other, retry_after=2)
        await bridges.one.keep()
        await bridges.other.look()  # Before it has written down what it was refused itself.
        await bridges.other.keep()
        return await bridges.kept()

    kept = runner.run(story())
    assert (kept.limit, kept.not_before) == (2, NOON + timedelta(seconds=9))


def test_what_somebody_else_wrote_first_does_not_undo_what_we_were_refused(
    bridges: Bridges, runner: asyncio.Runner
) -> None:
    async def story() -> Pace:
        await bridges.both_begin(2)
        await bridges.refused(bridges.one, retry_after=2)
        await bridges.refused(bridges.other, retry_after=9)
        await bridges.one.keep()
        await bridges.other.keep()
        return await bridges.kept()

    assert runner.run(story()).not_before == NOON + timedelta(seconds=9)
