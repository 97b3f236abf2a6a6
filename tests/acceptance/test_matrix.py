"""A few cells of the fault matrix, chosen by a seed; ``make faults`` plays all of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from orderkeep.testing.matrix.cell import Cell, play
from orderkeep.testing.matrix.every import chosen
from orderkeep.testing.matrix.servers import Servers

SEED = int(os.environ.get("ORDERKEEP_SEED", "20261123"))
KINDS = ("embedded/*/error", "embedded/*/kill -9", "embedded/mes with look-up/*-after")
"""What is quickly over and needs neither rights nor another server; one of each."""
CELLS = [Random(f"{SEED}:{kind}").choice(chosen([kind])) for kind in KINDS]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers() as shared:
        yield shared


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_nothing_is_lost_doubled_or_stuck(cell: Cell, servers: Servers, tmp_path: Path) -> None:
    row = play(cell, SEED, servers, tmp_path)

    assert row.ran, row.why
    assert not row.verdict.broken, f"{row.verdict}; again: {row.command}"
    assert row.verdict.orders > 0
