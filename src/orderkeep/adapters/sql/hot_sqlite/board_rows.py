"""The board's rows read back from SQLite, many at once."""

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS, row_from
from orderkeep.orders.view import BoardRow

_COLUMNS = ", ".join(COLUMNS)


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
    by_number = {n: row_from(n, values) for n, *values in found}
    return [by_number[n] for n in numbers if n in by_number]
