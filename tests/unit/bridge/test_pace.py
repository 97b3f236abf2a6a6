"""How many calls at once: never above a limit, none to who is away, slowly back afterwards."""

import heapq
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.bridge.pace import (
    LIMIT_KEPT,
    LONGEST_ASKED,
    LONGEST_REST,
    PROVEN,
    TRIP,
    Bounds,
    Breaker,
    Pace,
    answered,
    begin,
    is_milestone,
    is_ramping,
    let_in_again,
    no_room,
    probing,
    room,
    unanswered,
    waits_until,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOUNDS = Bounds(most=16, rest=timedelta(seconds=5))
QUICK = timedelta(milliseconds=20)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def fails(pace: Pace, times: int, at: datetime = NOON) -> Pace:
    for n in range(times):
        now = at + timedelta(milliseconds=n)
        pace = unanswered(pace, BOUNDS, now, now, "timeout")
    return pace


def answers(pace: Pace, times: int, at: datetime = NOON, took: timedelta = QUICK) -> Pace:
    for n in range(times):
        began = at + took * n
        pace = answered(pace, BOUNDS, began, began + took, full=True)
    return pace


def an_open_breaker() -> Pace:
    return fails(begin(BOUNDS), TRIP)


def test_a_stranger_gets_a_third_of_what_it_may_bear_and_more_as_it_answers() -> None:
    pace = begin(BOUNDS)

    assert room(pace, BOUNDS, NOON) == 5
    assert room(answers(pace, 500), BOUNDS, after(60)) == BOUNDS.most


def test_a_window_that_is_not_used_up_does_not_grow() -> None:
    pace = begin(BOUNDS)

    for n in range(100):
        pace = answered(pace, BOUNDS, after(n), after(n) + QUICK, full=False)

    assert room(pace, BOUNDS, after(200)) == 5


def test_answers_that_take_much_longer_than_usual_narrow_the_window_once_a_round() -> None:
    wide = answers(begin(BOUNDS), 500)
    began, slow = after(100), timedelta(seconds=1)

    once = answered(wide, BOUNDS, began, began + slow, full=True)
    again = answered(once, BOUNDS, began, began + slow, full=True)
    later = answered(again, BOUNDS, began + 2 * slow, began + 3 * slow, full=True)

    assert [room(one, BOUNDS, after(200)) for one in (wide, once, again, later)] == [16, 8, 8, 4]


def test_a_single_failure_does_not_open_the_breaker() -> None:
    pace = fails(begin(BOUNDS), TRIP - 1)

    pace = fails(answers(pace, 1, after(1)), TRIP - 1, after(2))

    assert pace.breaker is Breaker.CLOSED
    assert room(pace, BOUNDS, after(3)) >= 1


def test_failures_in_a_row_open_it_and_nothing_leaves_until_one_probe_does() -> None:
    pace = an_open_breaker()

    assert room(pace, BOUNDS, after(4)) == 0
    assert room(pace, BOUNDS, after(6)) == 1
    assert room(probing(pace, after(6)), BOUNDS, after(6)) == 1


def test_late_outcomes_of_early_calls_say_nothing_of_an_open_breaker() -> None:
    pace = an_open_breaker()

    assert answered(pace, BOUNDS, NOON, after(1), full=True) == pace
    assert unanswered(pace, BOUNDS, NOON, after(1), "timeout") == pace
    probe = probing(pace, after(6))
    assert answered(probe, BOUNDS, NOON, after(7), full=True) == probe
    assert unanswered(probe, BOUNDS, NOON, after(7), "timeout") == probe


def test_each_probe_that_fails_makes_the_rest_longer_up_to_a_minute() -> None:
    pace, now, rests = an_open_breaker(), NOON, []

    for _ in range(7):
        until = waits_until(pace, now)
        assert until is not None
        now = until
        rests.append(round((now - (pace.since or NOON)).total_seconds()))
        pace = unanswered(probing(pace, now), BOUNDS, now, now, "timeout")

    assert rests == [5, 10, 20, 40, 60, 60, 60]
    assert pace.down_since == after(0.004)


def test_after_an_answered_probe_the_width_begins_at_one_and_doubles() -> None:
    pace = an_open_breaker()
    pace = probing(pace, after(6))

    pace = answered(pace, BOUNDS, after(6), after(6.1), full=True)
    ramping = is_ramping(pace, BOUNDS)
    seen = [room(pace, BOUNDS, after(7))]
    for n in range(12):
        pace = answered(pace, BOUNDS, after(7 + n), after(7 + n) + QUICK, full=True)
        seen.append(room(pace, BOUNDS, after(7 + n)))

    assert ramping
    assert seen[0] == 1
    assert seen == sorted(seen)
    assert max(second - first for first, second in pairwise(seen)) == 1


def test_a_far_side_that_comes_and_goes_is_left_alone_for_longer_each_time() -> None:
    pace = an_open_breaker()
    back = answered(probing(pace, after(6)), BOUNDS, after(6), after(6.1), full=True)

    gone_again = fails(back, TRIP, after(7))
    proven = answers(back, PROVEN, after(7))
    later = fails(proven, TRIP, after(60))

    assert (gone_again.opened, later.opened) == (2, 1)


def test_retry_after_is_kept_to_and_what_was_refused_is_a_limit_for_a_while() -> None:
    wide = answers(begin(BOUNDS), 500)

    pace = no_room(wide, BOUNDS, 9, timedelta(seconds=30), NOON)

    assert pace.breaker is Breaker.CLOSED
    assert room(pace, BOUNDS, after(29.9)) == 0
    assert room(answers(pace, 500, after(31)), BOUNDS, after(100)) == 8
    much_later = NOON + LIMIT_KEPT
    assert room(answers(pace, 100, much_later), BOUNDS, much_later + LIMIT_KEPT / 2) == 9


def test_an_answer_that_left_before_does_not_end_the_wait_we_were_asked_for() -> None:
    pace = no_room(begin(BOUNDS), BOUNDS, 4, timedelta(seconds=30), NOON)

    assert room(answered(pace, BOUNDS, NOON, after(1), full=True), BOUNDS, after(2)) == 0


def test_a_probe_that_finds_no_room_waits_as_asked_and_is_no_failure() -> None:
    probe = probing(an_open_breaker(), after(6))

    pace = no_room(probe, BOUNDS, 1, timedelta(seconds=2), after(6))

    assert (pace.breaker, pace.opened) == (Breaker.OPEN, 1)
    assert (room(pace, BOUNDS, after(7.9)), room(pace, BOUNDS, after(8))) == (0, 1)


def test_nobody_may_ask_us_to_wait_for_ever_nor_may_a_clock_that_was_set_back() -> None:
    pace = no_room(begin(BOUNDS), BOUNDS, 4, timedelta(days=30), NOON)

    assert waits_until(pace, NOON) == NOON + LONGEST_ASKED
    assert room(pace, BOUNDS, NOON - timedelta(days=3)) > 0


def test_who_is_let_in_again_begins_with_one_call() -> None:
    wide = answers(begin(BOUNDS), 500)

    assert room(let_in_again(wide, BOUNDS, NOON), BOUNDS, NOON) == 1
    assert room(let_in_again(an_open_breaker(), BOUNDS, NOON), BOUNDS, NOON) == 1


def test_what_others_must_know_is_told_from_what_only_moves_along() -> None:
    pace = begin(BOUNDS)

    assert not is_milestone(pace, answers(pace, 3))
    assert is_milestone(pace, an_open_breaker())
    assert is_milestone(pace, no_room(pace, BOUNDS, 3, None, NOON))


def test_it_is_read_again_as_it_was_written() -> None:
    pace = no_room(probing(an_open_breaker(), after(6)), BOUNDS, 3, None, after(7))

    assert msgspec.json.decode(msgspec.json.encode(pace), type=Pace) == pace


_DEED = st.tuples(
    st.sampled_from(("answered", "slow", "no room", "unanswered", "probe", "resume")),
    st.integers(0, 90_000),
    st.integers(1, 40),
)


@given(deeds=st.lists(_DEED, max_size=60), most=st.integers(1, 40))
def test_whatever_happens_no_bound_is_broken_and_no_rest_is_for_ever(
    deeds: list[tuple[str, int, int]], most: int
) -> None:
    bounds, now = Bounds(most, timedelta(seconds=5)), NOON
    pace = begin(bounds)
    asked: datetime | None = None
    for deed, milliseconds, at_once in deeds:
        now += timedelta(milliseconds=milliseconds)
        match deed:
            case "answered":
                pace = answered(pace, bounds, now, now + QUICK, full=True)
            case "slow":
                pace = answered(pace, bounds, now - timedelta(seconds=9), now, full=True)
            case "no room":
                asked = now + timedelta(seconds=at_once)
                pace = no_room(pace, bounds, at_once, timedelta(seconds=at_once), now)
            case "unanswered":
                pace = unanswered(pace, bounds, now, now, "timeout")
            case "probe" if room(pace, bounds, now):
                pace = probing(pace, now)
            case "resume":
                asked, pace = None, let_in_again(pace, bounds, now)

        allowed = room(pace, bounds, now)
        assert 0 <= allowed <= most
        assert pace.limit is None or allowed <= max(1, pace.limit)
        assert pace.breaker is Breaker.CLOSED or allowed <= 1
        if asked and now < asked and deed != "resume":
            assert allowed == 0
        assert room(pace, bounds, now + max(LONGEST_REST, timedelta(seconds=41))) >= 1


@pytest.mark.parametrize("limit", [1, 3, 8, 13])
def test_at_a_far_side_with_a_limit_of_its_own_the_width_settles_there(limit: int) -> None:
    """A queue over there makes answers slow, or a 429 tells: in both cases we use what there is."""
    for refuses in (False, True):
        served, refused = drive(limit, refuses=refuses, seconds=60)

        assert served >= 0.6 * limit / QUICK.total_seconds() * 55
        assert refused <= 10, "more than the first calls and one more now and then"


def drive(limit: int, *, refuses: bool, seconds: int) -> tuple[int, int]:
    """Feed a far side that works on ``limit`` calls at once, 20 ms each, as the pace allows."""
    bounds = Bounds(32, timedelta(seconds=1))
    pace, now, ends = begin(bounds), NOON, after(seconds)
    under_way: list[tuple[datetime, datetime, bool]] = []  # ends, began, taken
    free = [NOON] * limit
    served = refused = 0
    while now < ends:
        while len(under_way) < room(pace, bounds, now):
            pace = probing(pace, now)
            busy = sum(1 for _, _, taken in under_way if taken)
            if refuses and busy >= limit:
                heapq.heappush(under_way, (now + timedelta(milliseconds=1), now, False))
                continue
            done = max(now, heapq.heappop(free)) + QUICK
            heapq.heappush(free, done)
            heapq.heappush(under_way, (done, now, True))
        if not under_way:
            now = waits_until(pace, now) or ends
            continue
        at_once = len(under_way)
        now, began, taken = heapq.heappop(under_way)
        if taken:
            served += 1
            pace = answered(pace, bounds, began, now, full=at_once >= room(pace, bounds, now))
        else:
            refused += 1
            pace = no_room(pace, bounds, at_once, timedelta(seconds=1), now)
    return served, refused
