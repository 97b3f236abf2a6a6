"""The table of all cells, for people and for programs."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from orderkeep.testing.matrix.cell import Cell, Row

COUNTS = ("orders", "lost", "doubled", "false", "ghosts", "stuck", "uncertain")
_HEADS = ["item", "profile", "fault", "ran", *COUNTS, "seconds"]
_NUMBERS = slice(4, None)


def text(rows: Sequence[Row]) -> str:
    """The table, what was wrong below it, and the sum."""
    lines = [_HEADS, *(_line(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_HEADS))]
    table = ["  ".join(_set(line, widths)).rstrip() for line in lines]
    reasons = [f"could not: {row.name}: {row.why}" for row in rows if not row.ran]
    return "\n".join([*table, "", *reasons, *_broken(rows), summary(rows)]) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """One line: how many ran, and what they found."""
    trials = [row for row in rows if row.ran and not row.fails]
    counts = {name: sum(getattr(row.verdict, name) for row in trials) for name in COUNTS}
    found = ", ".join(f"{name} {number}" for name, number in counts.items())
    bad = sum(row.bad for row in rows)
    ran = sum(row.ran for row in rows)
    return f"{len(rows)} cells, ran {ran}, could not {len(rows) - ran}; {found}; broken {bad}"


def keep(rows: Sequence[Row], folder: Path) -> None:
    """Write both forms."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.txt").write_text(text(rows), encoding="utf-8")
    (folder / "faults.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows)))


def add(row: Row, path: Path) -> None:
    """Add a line to the results of several runs."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(row) + b"\n")


def played(path: Path, cells: Sequence[Cell]) -> list[Row]:
    """Of these cells, the rows of those that ran and kept the promise when last played."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    rows = {row.name: row for row in (msgspec.json.decode(one, type=Row) for one in lines)}
    return [rows[cell.name] for cell in cells if _done(rows.get(cell.name))]


def in_order(rows: Sequence[Row], cells: Sequence[Cell]) -> list[Row]:
    """The rows, in the order of the cells."""
    places = {cell.name: place for place, cell in enumerate(cells)}
    return sorted(rows, key=lambda row: places[row.name])


def _done(row: Row | None) -> bool:
    return row is not None and row.ran and not row.bad


def _line(row: Row) -> list[str]:
    counts = [getattr(row.verdict, name) for name in COUNTS]
    numbers = [str(one) if row.ran else "-" for one in (*counts, row.seconds)]
    return [row.item, row.profile, row.fault, _ran(row), *numbers]


def _ran(row: Row) -> str:
    if not row.ran:
        return "could not"
    if row.fails:
        return "ran, fails as it must" if not row.bad else "ran, AND DOES NOT FAIL"
    return "ran, BROKEN" if row.bad else "ran"


def _set(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    pairs = list(zip(line, widths, strict=True))
    words = [word.ljust(width) for word, width in pairs[: _NUMBERS.start]]
    return words + [word.rjust(width) for word, width in pairs[_NUMBERS]]


def _broken(rows: Sequence[Row]) -> list[str]:
    return [
        line
        for row in rows
        if row.bad
        for line in (f"\n{row.name}: {row.why}", *row.verdict.wrong, f"again: {row.command}", "")
    ]
