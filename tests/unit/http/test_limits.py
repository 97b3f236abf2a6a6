"""Quotas: so many calls in so much time, and not one more."""

from collections.abc import Callable, Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.access.keys import Quota
from orderkeep.http.limits import RateLimiter

FIVE_A_SECOND = Quota(rate=5, per_seconds=1)


def test_the_whole_quota_may_come_at_once_and_then_no_more() -> None:
    limiter = RateLimiter()

    verdicts = [limiter.take("k", FIVE_A_SECOND, now=10.0) for _ in range(7)]

    assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 2
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0, 0]


def test_a_refusal_says_when_the_next_call_is_within_the_quota() -> None:
    limiter = RateLimiter()
    for _ in range(5):
        limiter.take("k", FIVE_A_SECOND, now=10.0)

    refused = limiter.take("k", FIVE_A_SECOND, now=10.0)

    assert not refused.allowed
    assert limiter.take("k", FIVE_A_SECOND, now=10.0 + refused.retry_s + 0.001).allowed


def test_refused_calls_cost_nothing() -> None:
    limiter = RateLimiter()
    for _ in range(100):
        limiter.take("k", FIVE_A_SECOND, now=10.0)

    assert limiter.take("k", FIVE_A_SECOND, now=10.21).allowed


def test_looking_counts_nothing() -> None:
    limiter = RateLimiter()
    limiter.take("k", FIVE_A_SECOND, now=10.0)

    seen = [limiter.look("k", FIVE_A_SECOND, now=10.0).remaining for _ in range(3)]

    assert seen == [4, 4, 4]


def test_names_do_not_share_a_quota() -> None:
    limiter = RateLimiter()
    for _ in range(6):
        limiter.take("a", FIVE_A_SECOND, now=10.0)

    assert limiter.take("b", FIVE_A_SECOND, now=10.0).allowed


def test_memory_is_bounded_and_the_longest_not_seen_is_forgotten() -> None:
    limiter = RateLimiter(max_names=3)
    for name in ("a", "b", "c", "a", "d"):
        limiter.take(name, FIVE_A_SECOND, now=10.0)

    assert len(limiter) == 3
    assert limiter.look("a", FIVE_A_SECOND, now=10.0).remaining == 3
    assert limiter.look("b", FIVE_A_SECOND, now=10.0).remaining == 5


@given(
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
    rate=st.integers(1, 20),
    per_seconds=st.integers(1, 60),
)
def test_never_more_than_the_quota_in_any_window(
    gaps: list[float], rate: int, per_seconds: int
) -> None:
    limiter, quota, now = RateLimiter(), Quota(rate, per_seconds), 1000.0
    allowed = []
    for gap in gaps:
        now += gap
        if limiter.take("k", quota, now).allowed:
            allowed.append(now)

    # A full quota at once and what grows back while the window lasts: never twice the quota.
    for start in allowed:
        assert sum(start <= at < start + per_seconds for at in allowed) <= 2 * rate
    assert len(allowed) <= rate + (now - 1000.0) * rate / per_seconds + 1


class Town:
    """Doors that tell each other of their calls, a moment later."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.doors: list[RateLimiter] = []
        self.heard: list[Callable[[str, float], None]] = []
        self.on_the_way: list[tuple[int, str, float]] = []

    def open_door(self) -> RateLimiter:
        said = Said(self, len(self.doors))
        self.doors.append(RateLimiter(others=said, clock=lambda: self.now))
        return self.doors[-1]

    def deliver(self) -> None:
        """What was said reaches all the others."""
        said, self.on_the_way = self.on_the_way, []
        for speaker, name, seconds in said:
            for listener, used in enumerate(self.heard):
                if listener != speaker:
                    used(name, seconds)


class Said:
    """What one door says and hears."""

    def __init__(self, town: Town, place: int) -> None:
        self.town, self.place = town, place

    def used(self, name: str, seconds: float) -> None:
        self.town.on_the_way.append((self.place, name, seconds))

    def on_used(
        self,
        used: Callable[[str, float], None],
        ahead: Callable[[str, float], None],
        all_ahead: Callable[[], Iterable[tuple[str, float]]],
    ) -> None:
        for door in self.town.doors:
            for name, seconds in door._all_ahead():
                ahead(name, seconds)
        self.town.heard.append(used)


@pytest.mark.parametrize("seed", range(20))
def test_several_doors_keep_one_quota_and_what_was_too_much_is_taken_off(seed: int) -> None:
    chance, town, quota = Random(seed), Town(), Quota(rate=10, per_seconds=10)
    doors = [town.open_door() for _ in range(3)]
    began, allowed, late = town.now, 0, 0

    for _ in range(3000):
        allowed += chance.choice(doors).take("key", quota, town.now).allowed
        town.now += chance.random() / 20
        if chance.random() < 0.2:
            # Until it is told, each of the other doors may let through the same once more.
            late = max(late, len(town.on_the_way))
            town.deliver()

    assert allowed <= quota.rate + (town.now - began) + late
    assert allowed >= town.now - began - late, "nobody is refused what is his"


def test_a_door_that_begins_learns_what_is_used_up() -> None:
    town, quota = Town(), Quota(rate=5, per_seconds=3600)
    first = town.open_door()
    assert all(first.take("key", quota, town.now).allowed for _ in range(5))

    second = town.open_door()

    assert not second.take("key", quota, town.now).allowed
    assert second.take("another", quota, town.now).allowed
