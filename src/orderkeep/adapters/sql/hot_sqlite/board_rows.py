"""The board's rows read back from SQLite, many at once."""

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS, row_from
from orderkeep.orders.view import BoardRow

MAX_KEPT = 8192
"""Rows a connection remembers; emptied when full, since it fills again at once."""

_COLUMNS = ", ".join(COLUMNS)


class Connected(Protocol):
    """A unit of work, as far as reading goes."""

    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def rows(self) -> dict[int, BoardRow] | None:
        """Rows read before, if they are kept."""
        ...


def read_rows(work: Connected, numbers: Sequence[int]) -> list[BoardRow]:
    """The rows of orders, in the order of their numbers given; missing ones are left out."""
    if not numbers:
        return []
    known = _known(work, numbers)
    missing = [n for n in numbers if n not in known]
    if missing:
        fresh = {n: row_from(n, values) for n, *values in _select(work, _COLUMNS, missing)}
        _keep(work.rows, fresh)
        known |= fresh
    return [known[n] for n in numbers if n in known]


def _known(work: Connected, numbers: Sequence[int]) -> dict[int, BoardRow]:
    """Of the rows kept, those that are still so: a row is made anew with each version only."""
    kept = work.rows
    if not kept:
        return {}
    asked = [n for n in numbers if n in kept]
    if not asked:
        return {}
    return {n: kept[n] for n, now in _select(work, "version", asked) if kept[n].version == now}


def _keep(kept: dict[int, BoardRow] | None, fresh: dict[int, BoardRow]) -> None:
    if kept is None:
        return
    if len(kept) + len(fresh) > MAX_KEPT:
        kept.clear()
    kept.update(fresh)


def _select(work: Connected, columns: str, numbers: Sequence[int]) -> sqlite3.Cursor:
    marks = ", ".join("?" * len(numbers))
    return work.raw.execute(f"SELECT n, {columns} FROM orders WHERE n IN ({marks})", numbers)
