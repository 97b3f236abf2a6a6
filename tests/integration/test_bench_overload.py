"""The benchmark of too much runs from end to end; how quick anything is, no test asserts."""

from pathlib import Path

import pytest

from orderkeep.bench.arrivals import Times
from orderkeep.bench.overload import overload


def test_what_came_is_kept_refused_or_counted_as_unanswered(tmp_path: Path) -> None:
    report = overload(seconds=1.0, factors=[2.0], slow=30, slow_seconds=1.0, folder=tmp_path)

    [flood] = report.floods
    assert flood.wrong == {}
    assert flood.kept_per_s > 0
    assert 0 <= flood.server_waited <= 1
    assert 0 <= report.server_waited <= 1
    came = flood.kept_per_s + flood.refused_per_s + flood.lists + flood.unanswered
    assert came == pytest.approx(2 * report.capacity.per_s, rel=0.2)
    assert report.slow is not None
    assert report.slow.held.open_at_most == 30
    assert report.slow.beside.requests > 0
    assert [ratio.name.partition(" at")[0] for ratio in report.ratios] == [
        "kept / capacity",
        "kept p99 ms",
        "refused p99 ms",
        "orders beside 30 slow connections / alone",
    ]


def test_a_histogram_knows_its_percentiles_within_two_percent() -> None:
    times, more = Times(), Times()
    for n in range(1, 500):
        times.add(n / 1000)
    for n in range(500, 1001):
        more.add(n / 1000)
    times.join(more)

    assert times.many == 1000
    assert times.below_ms(0.5) == pytest.approx(500, rel=0.03)
    assert times.below_ms(0.99) == pytest.approx(990, rel=0.03)
    assert Times().below_ms(0.99) is None
