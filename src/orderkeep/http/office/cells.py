"""Tables for spreadsheets: what came from outside must never become a formula there."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # full-width
"""What a cell begins with that a spreadsheet computes; some read the wide signs as well."""


def head_of(columns: Sequence[str]) -> bytes:
    """How a CSV for spreadsheets begins: UTF-8 with a mark, by which they tell it."""
    return codecs.BOM_UTF8 + lines([columns])


def lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows of such a CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([safe(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def safe(cell: object) -> object:
    """A cell that is shown and not computed; numbers stay numbers."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return "'" + cell
    return cell
