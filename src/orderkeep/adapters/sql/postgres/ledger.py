"""The ledger's view of PostgreSQL: one snapshot, walked by cursors, however many orders there are.

The ledger is plain code that does no waiting, so the connection lives on a thread of its own.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from orderkeep.adapters.sql.ledger import SqlSnapshot
from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED, cannot_open
from orderkeep.adapters.sql.postgres.link import PgLink, engine_for, open_link
from orderkeep.adapters.sql.postgres.migrate import require_current
from orderkeep.adapters.sql.postgres.raw import numbered
from orderkeep.kernel.errors import StoreBusy

T = TypeVar("T")

AT_ONCE = 1000
"""Rows fetched in one round trip."""

_PATIENT = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PgLedger:
    """Implements ``ledger.ports.Ledger`` on a connection of its own.

    Raises:
        StoreMisconfigured, SchemaBehind, StoreBusy: it cannot be looked at; says why.
    """

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ledger", daemon=True)
        self._thread.start()
        try:
            self._engine = engine_for(url, "orderkeep ledger")
            self._link = self._wait(self._opened(url))
        except BaseException:
            self._end()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[SqlSnapshot]:
        """See ``ledger.ports.Ledger``."""
        self._wait(self._link.bare.execute(_BEGIN))
        try:
            yield SqlSnapshot(cast(Any, self))  # It speaks as much of sqlite3 as a ledger needs.
        finally:
            self._wait(self._link.bare.execute("ROLLBACK"))

    def execute(self, sql: str, values: Sequence[Any] = ()) -> "_Rows":
        """Run one statement of the ledger's; its rows come as they are asked for."""
        return _Rows(self, self._wait(self._cursor(numbered(sql), values)))

    def close(self) -> None:
        """Let the server go."""
        self._wait(self._closed())
        self._end()

    def fetch(self, cursor: Any) -> list[Any]:
        """The next rows of a cursor; none at its end."""
        found: list[Any] = self._wait(cursor.fetch(AT_ONCE, timeout=None))
        return found

    async def _opened(self, url: str) -> PgLink:
        try:
            link = await open_link(self._engine)
        except (*DRIVER_FAILED, SQLAlchemyError) as error:
            raise cannot_open(url, error) from error
        await require_current(link)
        await link.bare.execute(_PATIENT)
        return link

    async def _cursor(self, sql: str, values: Sequence[Any]) -> Any:
        statement = await self._link.bare.prepare(sql, timeout=None)
        return await statement.cursor(*values, timeout=None)

    async def _closed(self) -> None:
        await self._link.connection.close()
        await self._engine.dispose()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (
            asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            raise StoreBusy("PostgreSQL was lost while it was looked at") from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Rows:
    """What a statement gives, as tuples."""

    def __init__(self, ledger: PgLedger, cursor: Any) -> None:
        self._ledger = ledger
        self._cursor = cursor
        self._fetched: deque[Any] = deque()
        self._ended = False

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self, None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self)

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> tuple[Any, ...]:
        if not self._fetched and not self._ended:
            self._fetched.extend(self._ledger.fetch(self._cursor))
            self._ended = len(self._fetched) < AT_ONCE
        if not self._fetched:
            raise StopIteration
        return tuple(self._fetched.popleft())
