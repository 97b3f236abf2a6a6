"""Maintenance windows by the wall clock: over midnight, over the week, over the clocks' change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.bridge.windows import Maintenance, read_windows

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    "windows,now,until",
    [
        ("02:00-04:30", "2026-11-22 01:59", None),
        ("02:00-04:30", "2026-11-22 02:00", "2026-11-22 04:30"),
        ("02:00-04:30", "2026-11-22 04:30", None),
        ("Sun 02:00-04:30", "2026-11-22 03:00", "2026-11-22 04:30"),
        ("Sun 02:00-04:30", "2026-11-23 03:00", None),
        ("Mon-Fri 22:00-22:15", "2026-11-27 22:05", "2026-11-27 22:15"),
        ("Mon-Fri 22:00-22:15", "2026-11-28 22:05", None),
        ("Sat-Mon 01:00-02:00", "2026-11-23 01:30", "2026-11-23 02:00"),
        ("Sat-Mon 01:00-02:00", "2026-11-24 01:30", None),
        ("Sun 23:00-01:00", "2026-11-23 00:30", "2026-11-23 01:00"),
        ("Sun 23:00-01:00", "2026-11-22 00:30", None),
        ("02:00-03:00; 02:30-05:00", "2026-11-22 02:45", "2026-11-22 05:00"),
    ],
)
def test_a_window_by_the_wall_clock(windows: str, now: str, until: str | None) -> None:
    maintenance = Maintenance(read_windows(windows), BERLIN)

    assert maintenance.until(at(now)) == (until and at(until))


def test_in_the_night_that_has_an_hour_twice_a_window_ends_with_the_second() -> None:
    maintenance = Maintenance(read_windows("02:00-02:30"), BERLIN)

    assert maintenance.until(at("2026-10-25 02:10")) == at("2026-10-25 02:30", fold=1)
    assert maintenance.until(at("2026-10-25 02:10", fold=1)) == at("2026-10-25 02:30", fold=1)


def test_in_the_night_that_lacks_an_hour_a_window_within_it_ends_all_the_same() -> None:
    maintenance = Maintenance(read_windows("02:15-02:45"), BERLIN)

    over = [maintenance.until(at("2026-03-29 01:00") + timedelta(minutes=n)) for n in range(180)]

    assert over[-1] is None


@pytest.mark.parametrize(
    "text", ["2-4", "Sun", "Son 02:00-03:00", "25:00-26:00", "02:00-02:00", "02:00-03:00, 04:00"]
)
def test_what_is_not_a_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_windows(text)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001  # Made UTC below.
    st.sampled_from(["02:00-03:00", "Sun 23:30-00:30", "Mon-Wed 00:00-23:59"]),
)
def test_whoever_waits_until_the_end_is_outside_and_waits_at_most_a_day(
    now: datetime, windows: str
) -> None:
    maintenance, now = Maintenance(read_windows(windows), BERLIN), now.replace(tzinfo=UTC)

    until = maintenance.until(now)

    if until is not None:
        assert now < until <= now + timedelta(days=1, hours=1)
        assert maintenance.until(until) is None
