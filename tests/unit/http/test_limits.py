"""Quotas: so many calls in so much time, and not one more."""

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
