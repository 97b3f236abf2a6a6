"""The board's row as SQLite keeps it, read back."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS
from orderkeep.adapters.sql.types import from_micros
from orderkeep.kernel.ids import order_no
from orderkeep.orders.order import Stage
from orderkeep.orders.view import BoardRow

_INSTANTS = frozenset(
    {
        "stage_since",
        "created_at",
        "changed_at",
        "due_at",
        "timer_at",
        "promise_at",
        "hold_until",
        "claim_until",
    }
)
_COLUMNS = ", ".join(COLUMNS)
_STAGES = {str(stage): stage for stage in Stage}


class Connected(Protocol):
    """A unit of work, as far as reading goes."""

    @property
    def raw(self) -> sqlite3.Connection: ...


def read_rows(work: Connected, numbers: Sequence[int]) -> list[BoardRow]:
    """The rows of orders, in the order of their numbers given; missing ones are left out."""
    if not numbers:
        return []
    marks = ", ".join("?" * len(numbers))
    found = work.raw.execute(f"SELECT n, {_COLUMNS} FROM orders WHERE n IN ({marks})", numbers)
    by_number = {row[0]: _board_row(row) for row in found}
    return [by_number[n] for n in numbers if n in by_number]


def _board_row(row: Sequence[Any]) -> BoardRow:
    n, *values = row
    return BoardRow(order_no(n), *[read(value) for read, value in zip(_READ, values, strict=True)])


def _same(value: Any) -> Any:
    return value


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def _reader(column: str) -> Any:
    if column in _INSTANTS:
        return _instant
    if column.startswith("is_"):
        return bool
    return _STAGES.__getitem__ if column == "stage" else _same


_READ = [_reader(column) for column in COLUMNS]
