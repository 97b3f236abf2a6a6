"""A cell of the matrix waits for as long as something goes on, and not for what stands still."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from orderkeep.testing.matrix import works
from orderkeep.testing.matrix.verdict import Shown
from orderkeep.testing.matrix.works import (
    DRAINED_WITHIN_S,
    Alone,
    wait_while_it_goes_on,
)

ARRIVED = Shown("MANUFACTURING_APPROVED", "confirmed")
UNDER_WAY = Shown("MANUFACTURING_APPROVED", "sending")


class Clock:
    """Time passes only while somebody rests."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def rest(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    time = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=clock.rest)
    monkeypatch.setattr(works, "time", time)
    return clock


def test_what_goes_on_is_waited_for_however_slow_it_is(clock: Clock) -> None:
    """Ten steps, each nearly as late as may be: ten times as long as the deadline in all."""
    step_s = 0.9 * DRAINED_WITHIN_S

    wait_while_it_goes_on(
        lambda: clock.now_s >= 10 * step_s, lambda: int(clock.now_s / step_s), "not made"
    )

    assert clock.now_s > 5 * DRAINED_WITHIN_S


def test_what_stands_still_is_given_up_after_the_deadline(clock: Clock) -> None:
    stands_at_s = 2 * DRAINED_WITHIN_S

    with pytest.raises(TimeoutError, match="not made"):
        wait_while_it_goes_on(lambda: False, lambda: int(min(clock.now_s, stands_at_s)), "not made")

    assert 3 * DRAINED_WITHIN_S < clock.now_s < 3.1 * DRAINED_WITHIN_S


class Slow(Alone):
    """Shows every order as under way until its time has come."""

    def __init__(self, clock: Clock, rests_at_s: dict[str, float]) -> None:
        nobody: Any = None  # Neither the product nor the MES is asked.
        super().__init__(nobody, nobody, Random(1))
        self._clock = clock
        self._rests_at_s = rests_at_s

    def _shown(self, number: str) -> Shown | None:
        return ARRIVED if self._clock.now_s >= self._rests_at_s[number] else UNDER_WAY


def drained(slow: Slow, numbers: dict[str, float]) -> dict[str, Shown | None]:
    return slow._drained({number: number for number in numbers}, may_be_uncertain=False)


def test_orders_that_come_to_rest_one_after_the_other_are_late_and_not_stuck(clock: Clock) -> None:
    rest_s = {f"OK-{n}": 0.9 * DRAINED_WITHIN_S * n for n in range(1, 6)}

    shown = drained(Slow(clock, rest_s), rest_s)

    assert set(shown.values()) == {ARRIVED}


def test_an_order_that_stands_still_is_stuck_and_the_rest_are_looked_at_once(clock: Clock) -> None:
    rest_s = {"OK-1": 0.0, "OK-2": float("inf"), "OK-3": 0.0, "OK-4": float("inf")}

    shown = drained(Slow(clock, rest_s), rest_s)

    assert [one is ARRIVED for one in shown.values()] == [True, False, True, False]
    assert clock.now_s < 1.1 * DRAINED_WITHIN_S
