"""What a repository needs of its unit of work."""

import sqlite3
from typing import Protocol

from orderkeep.adapters.sql.hot_sqlite.counters import Counters
from orderkeep.orders.view import BoardRow


class Work(Protocol):
    """The part of a unit of work that the hot repositories use."""

    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def counters(self) -> Counters: ...

    def wake(self, topic: str) -> None: ...

    def changed(self, row: BoardRow) -> None: ...
