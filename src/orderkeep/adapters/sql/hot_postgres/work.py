"""One unit of work on PostgreSQL: the cold repositories as they are, the hot ones of its own."""

import sqlite3
from functools import cached_property
from typing import Any, cast

from sqlalchemy import Connection

from orderkeep.adapters.sql.hot_postgres.counters import Counters
from orderkeep.adapters.sql.hot_postgres.dead_letters import SqlDeadLetters
from orderkeep.adapters.sql.hot_postgres.files import SqlFiles
from orderkeep.adapters.sql.hot_postgres.inbox import SqlInbox
from orderkeep.adapters.sql.hot_postgres.orders import SqlOrders
from orderkeep.adapters.sql.hot_postgres.outbox import SqlOutbox
from orderkeep.adapters.sql.hot_postgres.price_jobs import SqlPriceJobs
from orderkeep.adapters.sql.hot_postgres.tracking import SqlTracking
from orderkeep.adapters.sql.lanes import Gates
from orderkeep.adapters.sql.postgres.link import PgLink
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.adapters.sql.postgres.transactions import keep
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.orders.view import BoardRow


class PgWork(SqlWork):
    """What a unit of work sees of the database; ``writes`` where it may lock what it reads."""

    def __init__(self, link: PgLink, *, writes: bool) -> None:
        self._pg_link = link
        self._writes = writes
        self.woken: list[str] = []
        self.board_rows: list[BoardRow] = []
        self.begun = True

    @property
    def pg(self) -> Raw:
        """The connection as it is, for PostgreSQL's own SQL."""
        return self._pg_link.raw

    def keep(self, gates: Gates, sql: str, *values: Any) -> list[Any]:
        """Run one statement that is a whole transaction; returning means it is on disk."""
        return keep(self._pg_link, gates, sql, values)

    @property
    def raw(self) -> sqlite3.Connection:
        # It speaks as much of sqlite3's language as repositories use: execute and executemany.
        return cast(sqlite3.Connection, self._pg_link.raw)

    @property
    def connection(self) -> Connection:
        return self._pg_link.core

    @property
    def rows(self) -> dict[int, BoardRow] | None:
        return self._pg_link.rows

    @property
    def watched(self) -> bool:
        return self._pg_link.watched

    @cached_property
    def orders(self) -> SqlOrders:
        return SqlOrders(self, writes=self._writes)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self)

    @cached_property
    def inbox(self) -> SqlInbox:
        return SqlInbox(self)

    @cached_property
    def counters(self) -> Counters:
        return Counters(self)

    @cached_property
    def dead_letters(self) -> SqlDeadLetters:
        return SqlDeadLetters(self)

    @cached_property
    def files(self) -> SqlFiles:
        return SqlFiles(self)

    @cached_property
    def price_jobs(self) -> SqlPriceJobs:
        return SqlPriceJobs(self)

    @cached_property
    def tracking(self) -> SqlTracking:
        return SqlTracking(self)
