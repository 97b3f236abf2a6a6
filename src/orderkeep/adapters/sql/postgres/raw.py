"""Plain SQL of the cold repositories on asyncpg: as much of ``sqlite3.Connection`` as they use.

Everything here has to be called inside a unit of work: that is where waiting is possible.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy.util import await_only

KEPT_STATEMENTS = 512
_MARK = re.compile(r"\?(\d*)")
_OTHERWISE = (
    (re.compile(r" INDEXED BY \w+"), ""),  # a hint; PostgreSQL's planner knows its statistics
    (re.compile(r"CROSS JOIN (\w+ \w+) ON"), r"JOIN \1 ON"),  # SQLite's way to fix an order
    (re.compile(r"\binstr\("), "strpos("),
    (re.compile(r" IS NOT (?=\w+\.)"), " IS DISTINCT FROM "),
    (re.compile(r"json_extract\(([\w.]+), '\$\.(\w+)'\)"), r"(\1::jsonb ->> '\2')::boolean"),
)
"""The few words of SQLite's that repositories use and PostgreSQL spells in another way."""
_COUNT = re.compile(r"\d+$")


class Rows:
    """What a statement gave: its rows as tuples, and how many it touched."""

    def __init__(self, found: Sequence[Any], status: str) -> None:
        self._rows = [tuple(record) for record in found]
        self._left = iter(self._rows)
        count = _COUNT.search(status)
        self.rowcount = int(count.group()) if count else -1

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._left, None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._left)

    def __iter__(self) -> Iterator[Any]:
        return self._left


class Raw:
    """One asyncpg connection that understands ``?`` and ``?1``."""

    def __init__(self, bare: Any) -> None:
        self._bare = bare
        self._statements: OrderedDict[str, Any] = OrderedDict()
        self._trace: Callable[[str], object] | None = None

    def set_trace_callback(self, trace: Callable[[str], object] | None) -> None:
        """Hear every statement of repositories before it is run."""
        self._trace = trace

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run one statement."""
        if self._trace is not None:
            self._trace(sql)
        statement = self.prepared(numbered(sql))
        return Rows(await_only(statement.fetch(*values)), statement.get_statusmsg())

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement with each of the rows, in one round trip."""
        await_only(self.prepared(numbered(sql)).executemany(rows))

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement of PostgreSQL's own, with ``$1``; its records."""
        found: list[Any] = await_only(self.prepared(sql).fetch(*values))
        return found

    def prepared(self, sql: str) -> Any:
        """The statement, prepared once a connection."""
        known = self._statements.get(sql)
        if known is not None:
            self._statements.move_to_end(sql)
            return known
        if len(self._statements) >= KEPT_STATEMENTS:
            self._statements.popitem(last=False)
        made = self._statements[sql] = await_only(self._bare.prepare(sql))
        return made


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """The statement in PostgreSQL's words, with ``$1`` in the place of ``?`` or ``?1``.

    No literal of ours has a question mark.

    >>> numbered("SELECT ?2, ?1"), numbered("SELECT ?, ?")
    ('SELECT $2, $1', 'SELECT $1, $2')
    """
    for theirs, ours in _OTHERWISE:
        sql = theirs.sub(ours, sql)
    marks = iter(range(1, sql.count("?") + 1))
    return _MARK.sub(lambda found: f"${found.group(1) or next(marks)}", sql)
