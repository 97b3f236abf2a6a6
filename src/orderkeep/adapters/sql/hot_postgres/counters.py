"""Counter rows on PostgreSQL: the row of order numbers is also the lock of those who accept."""

from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.adapters.sql.hot_sqlite import counters as sqlite

# Held until the commit: the next one sees everything that was accepted before it, and a number
# that is not committed is given out again. FOR NO KEY UPDATE is what an UPDATE takes.
_LAST = "SELECT value FROM counters WHERE name = 'orders' FOR NO KEY UPDATE"
_BEGIN = "INSERT INTO counters (name, value) VALUES ('orders', 0) ON CONFLICT DO NOTHING"
# Sorted, so that no two units can hold what the other one waits for.
_ADD = (
    "INSERT INTO counters (name, value) SELECT * FROM unnest($1::text[], $2::bigint[]) ORDER BY 1"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
)


class Counters(sqlite.Counters):
    """Changes of one unit of work, written once at its end: a counter is locked for the commit."""

    def __init__(self, work: Work) -> None:
        self._pg = work.pg
        super().__init__(work)

    def following(self) -> int:
        """The order number that ``take`` will give out first; nobody else accepts till then."""
        found = self._pg.fetch(_LAST)
        if not found:
            self._pg.fetch(_BEGIN)
            found = self._pg.fetch(_LAST)
        return int(found[0][0]) + 1

    def flush(self) -> None:
        """Write the changes."""
        if self._changes:
            self._pg.fetch(_ADD, list(self._changes), list(self._changes.values()))
            self._changes.clear()
