"""A backlog reaches a MES that is back: all of it, once, in order, and within its limit."""

from pathlib import Path

from orderkeep.bench.recovery import recovery


def test_a_backlog_is_drained_within_the_limit_and_oldest_first(tmp_path: Path) -> None:
    report = recovery(orders=60, limit=4, work_ms=1, folder=tmp_path)

    assert report["made"] == 60
    assert report["made_twice"] == 0
    assert report["turned_away"] == 0
    assert report["peak_at_once"] <= 4
    # Those under way together arrive in any order; none overtakes a whole round of calls.
    assert report["places_behind"] <= 8
