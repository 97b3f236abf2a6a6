"""Many rows in one statement: the driver takes the interpreter's lock once a statement, not a row.

With ``executemany`` a writer beside a busy event loop waits for that lock after every single row.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

MOST = 64
"""Rows in one statement; every number up to it stays prepared (``CACHED_STATEMENTS``)."""


def insert_many(
    raw: sqlite3.Connection, into: str, row: str, rows: Sequence[Sequence[Any]], tail: str = ""
) -> int:
    """Insert rows, returns how many; ``row`` is one row of VALUES, such as ``(?, 1, ?)``."""
    inserted = 0
    for chunk in _chunks(rows):
        values = tuple(chain.from_iterable(chunk))
        inserted += raw.execute(_values(into, row, len(chunk), tail), values).rowcount
    return inserted


def change_many(
    raw: sqlite3.Connection, change: str, row: str, rows: Sequence[Sequence[Any]]
) -> int:
    """Run an UPDATE FROM ``{asked}``, as ``look_up`` has it; returns how many rows it changed."""
    changed = 0
    for chunk in _chunks(rows):
        statement = _asking(change, row, len(chunk))
        changed += raw.execute(statement, tuple(chain.from_iterable(chunk))).rowcount
    return changed


def look_up(
    raw: sqlite3.Connection, query: str, row: str, asked: Sequence[Sequence[Any]]
) -> Iterator[tuple[Any, ...]]:
    """Run a query on ``asked (column1, column2, …)``, which stands in it as ``{asked}``."""
    for chunk in _chunks(asked):
        statement = _asking(query, row, len(chunk))
        yield from raw.execute(statement, tuple(chain.from_iterable(chunk)))


def _chunks(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    for start in range(0, len(rows), MOST):
        yield rows[start : start + MOST]


@cache
def _values(into: str, row: str, count: int, tail: str) -> str:
    return f"{into} VALUES {', '.join([row] * count)}{tail}"


@cache
def _asking(query: str, row: str, count: int) -> str:
    return query.format(asked=f"(VALUES {', '.join([row] * count)})")
