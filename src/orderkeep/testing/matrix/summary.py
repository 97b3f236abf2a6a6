"""The table in short, for a document: cells of a kind together."""

from collections import defaultdict
from collections.abc import Sequence

from orderkeep.kernel.failpoints import FAILPOINTS
from orderkeep.testing.matrix.cell import Row
from orderkeep.testing.matrix.table import COUNTS

_HEADS = ("what", "fault", "profile", "cells", "ran", *COUNTS)


def markdown(rows: Sequence[Row]) -> str:
    """A table with a line for every kind of cell; controls are lines of their own."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_kind(row)].append(row)
    lines = [_HEADS, ["---"] * len(_HEADS), *(_line(kind, of) for kind, of in groups.items())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _kind(row: Row) -> tuple[str, str, str]:
    if row.item in FAILPOINTS:
        return "at every failpoint", row.fault, row.profile
    if row.item.startswith("mes with"):
        return row.item, "each fault alone, all together, killed", row.profile
    return row.item, row.fault, row.profile


def _line(kind: tuple[str, str, str], rows: Sequence[Row]) -> list[str]:
    ran = [row for row in rows if row.ran]
    counts = [str(sum(getattr(row.verdict, name) for row in ran)) for name in COUNTS]
    return [*kind, str(len(rows)), str(len(ran)), *counts]
