"""The benchmarks run from end to end; how quick anything is, no test asserts."""

import json
import os
import subprocess
import sys
from pathlib import Path

from orderkeep.bench.accept import WAYS
from orderkeep.bench.board import FILTERS, OPERATORS, board

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
TINY = ("--seconds", "0.05", "--rounds", "1", "--clients", "1")


def test_every_way_in_is_measured_beside_the_disk(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}

    done = subprocess.run(
        [*COMMAND, "bench", "accept", *TINY, "--folder", str(tmp_path), "--json"],
        env=ours,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(line["path"], line["clients"]) for line in report["lines"]] == [
        (way, 1) for way in WAYS
    ]
    assert all(line["sample"]["requests"] > 0 for line in report["lines"])
    assert report["disk"]["per_s"] > 0
    assert report["ratios"] == []  # Promised at 64 clients only.
    assert list(tmp_path.iterdir()) == []


def test_every_list_of_the_board_is_measured_and_nobody_claims_twice(tmp_path: Path) -> None:
    report = board(rows=[200], folder=tmp_path)

    [size] = report.sizes
    measured = {timed.what for timed in size.reads}
    assert size.rows == 200
    assert {f"first page: {name}" for name in FILTERS} < measured
    assert {"counts", "one order and its history", "a page far down"} < measured
    assert [race.operators for race in size.races] == list(OPERATORS)
    assert report.no_double_claims
    assert {one.ratio for one in report.flat} == {1.0}  # Beside itself nothing has grown.
    assert list(tmp_path.iterdir()) == []
