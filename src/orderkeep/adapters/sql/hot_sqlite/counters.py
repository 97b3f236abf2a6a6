"""Counter rows: how many orders there are, and how many in each stage, without counting."""

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection

ORDERS = "orders"
"""The last order number given out."""

_LAST = "SELECT value FROM counters WHERE name = 'orders'"
_TAKE = (
    "INSERT INTO counters (name, value) VALUES (?1, ?2)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"
)
_ADD = (
    "INSERT INTO counters (name, value) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
)


class _Connected(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...


def of_stage(stage: str) -> str:
    """The counter of orders that are in a stage now."""
    return f"stage:{stage}"


class Counters:
    """Changes of one unit of work, written once at its end."""

    def __init__(self, work: _Connected) -> None:
        self._raw = work.raw
        self._changes: Counter[str] = Counter()

    def following(self) -> int:
        """The order number that ``take`` will give out first."""
        row = self._raw.execute(_LAST).fetchone()
        return 1 if row is None else int(row[0]) + 1

    def take(self, count: int) -> int:
        """Take the next ``count`` order numbers; returns the first."""
        row = self._raw.execute(_TAKE, (ORDERS, count)).fetchone()
        return int(row[0]) - count + 1

    def add(self, name: str, change: int) -> None:
        """Count something at the end of the unit."""
        self._changes[name] += change

    def moved(self, before: str, after: str) -> None:
        """An order went from one stage to another."""
        if before != after:
            self._changes[of_stage(before)] -= 1
            self._changes[of_stage(after)] += 1

    def flush(self) -> None:
        """Write the changes."""
        if self._changes:
            self._raw.executemany(_ADD, list(self._changes.items()))
            self._changes.clear()


class CountedWork(Protocol):
    """What whoever reads rows and counts them needs of a unit of work."""

    @property
    def connection(self) -> "Connection": ...

    @property
    def counters(self) -> Counters: ...
