"""Claiming on PostgreSQL: operators of several processes race, and nobody waits for another."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.hot_sqlite import claim as sqlite
from orderkeep.adapters.sql.hot_sqlite.claim import Claiming
from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS
from orderkeep.adapters.sql.work import SqlWork

# What another process is giving away at this moment is passed over; the index holds only what may
# be taken.
_FIRST = (
    "SELECT n FROM orders WHERE is_claimable ORDER BY priority, due_at NULLS FIRST, n LIMIT $1"
    " FOR NO KEY UPDATE SKIP LOCKED"
)
_CLAIM = (
    "UPDATE orders SET version = version + 1, changed_at = $2, claim_operator = $3,"
    " claim_until = $4, timer_at = least(timer_at, $4), is_claimable = false"
    f" WHERE n = $1 AND is_claimable RETURNING {', '.join(COLUMNS)}"
)


class ClaimBatch(sqlite.ClaimBatch):
    """Serves waiting operators in the order they came; nobody gets what another got."""

    keeps_itself = False

    def _first(self, work: SqlWork, count: int) -> Iterator[int]:
        return iter([row[0] for row in cast(PgWork, work).pg.fetch(_FIRST, count)])

    def _claimed(self, work: SqlWork, n: int, item: Claiming) -> Sequence[Any] | None:
        found = cast(PgWork, work).pg.fetch(_CLAIM, n, *sqlite.instants(item))
        return tuple(found[0]) if found else None
