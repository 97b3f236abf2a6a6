"""Numbers of several processes: added up, and those of the dead still count."""

import os
from pathlib import Path

from orderkeep.observe.numbers import GAUGE, Family, Number, Numbers, fold

GONE = 2**22 + 1
"""No process has this number: Linux gives out none so high."""


def counted(done: float, opened: float) -> list[Family]:
    return [
        Family("done", "", "counter", [Number("done_total", {"kind": "a"}, done)]),
        Family("open", "", GAUGE, [Number("open", {}, opened)]),
    ]


def numbers(folder: Path | None, done: float, opened: float = 0.0) -> Numbers:
    made = Numbers(folder)
    made.add(lambda: counted(done, opened))
    return made


def sums(asked: Numbers) -> dict[str, float]:
    return {one.name: one.value for family in asked.everybody() for one in family.numbers}


def left_by_the_dead(folder: Path, done: float) -> None:
    numbers(folder, done, opened=5.0).keep()
    [mine] = folder.glob(f"{os.getpid()}-*")
    mine.rename(folder / f"{GONE}-{int(done)}")


def test_whoever_is_asked_adds_what_the_others_kept_to_its_own(tmp_path: Path) -> None:
    numbers(tmp_path, 3.0, opened=1.0).keep()
    asked = numbers(tmp_path, 4.0, opened=1.0)
    asked.keep()

    assert sums(asked) == {"done_total": 7.0, "open": 2.0}


def test_alone_it_tells_its_own(tmp_path: Path) -> None:
    assert sums(numbers(None, 4.0)) == {"done_total": 4.0, "open": 0.0}


def test_what_the_dead_had_counted_counts_and_what_they_had_open_is_closed(
    tmp_path: Path,
) -> None:
    left_by_the_dead(tmp_path, 10.0)
    asked = numbers(tmp_path, 1.0, opened=1.0)
    before = sums(asked)

    fold(tmp_path, GONE)
    left_by_the_dead(tmp_path, 20.0)
    fold(tmp_path, GONE)

    assert before == {"done_total": 11.0, "open": 1.0}
    assert sums(asked) == {"done_total": 31.0, "open": 1.0}
    assert [one.name for one in tmp_path.iterdir()] == ["folded"], "one file for all the dead"


def test_a_crash_while_folding_counts_nobody_twice(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, 10.0)
    [file] = tmp_path.iterdir()
    kept = file.read_bytes()

    fold(tmp_path, GONE)
    file.write_bytes(kept)  # It was not removed yet.

    assert sums(numbers(tmp_path, 1.0))["done_total"] == 11.0
