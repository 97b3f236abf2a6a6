"""Every cell of the matrix, and choosing among them."""

from collections.abc import Sequence
from fnmatch import fnmatch

from orderkeep.testing.matrix import (
    broker,
    callbacks,
    clock,
    cluster,
    database,
    failpoints,
    halves,
    mes,
    power,
    processes,
    sender,
)
from orderkeep.testing.matrix.cell import Cell

PARTS = (
    failpoints,
    sender,
    processes,
    power,
    database,
    broker,
    cluster,
    clock,
    mes,
    halves,
    callbacks,
)


def every_cell() -> list[Cell]:
    """All of them, in the order of the table."""
    return [cell for part in PARTS for cell in part.cells()]


def chosen(patterns: Sequence[str]) -> list[Cell]:
    """Cells that patterns such as ``*/bridge.*/kill*`` name, in their order; all without any."""
    cells = every_cell()
    wanted = [cell for one in patterns or ["*"] for cell in cells if fnmatch(cell.name, one)]
    return list({cell.name: cell for cell in wanted}.values())
