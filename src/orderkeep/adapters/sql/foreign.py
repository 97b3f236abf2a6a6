"""Another system's table, read through one query and never written to."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

from orderkeep.intake import sentences as say
from orderkeep.kernel.errors import Fault, Invalid, Unavailable
from orderkeep.ledger.lost import MAX_ROWS, Table, read_rows

TIMEOUT_S: Final = 30.0
_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_STEPS = 10_000


async def read_table(url: str, query: str) -> Table:
    """A query's rows as a table of lost orders.

    Raises:
        Invalid: the address, the query or a row will not do.
        Unavailable: the database cannot be reached, or takes too long.
    """
    return read_rows(await rows_of(url, query, MAX_ROWS))


async def rows_of(
    url: str, query: str, most: int, values: Sequence[Any] = ()
) -> Sequence[Mapping[str, Any]]:
    """At most so many rows of a query, and one more to show that there are; read only.

    Raises:
        Invalid: the address or the query will not do.
        Unavailable: the database cannot be reached, or takes too long.
    """
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        return await asyncio.to_thread(_from_sqlite, path, query, most, values)
    if url.startswith(("postgresql://", "postgres://")):
        return await _from_postgres(url, query, most, values)
    raise Invalid([Fault("/database_url", "wrong", "sqlite:///path or postgresql://…")])


async def rows_behind(  # A question's facts, by name.
    url: str, query: str, *, column: str, since: Any, most: int
) -> Sequence[Mapping[str, Any]]:
    """Rows of a query from a value of its column on, in that order; not those without a value.

    Raises:
        Invalid: the address, the query or the column will not do.
        Unavailable: the database cannot be reached, or takes too long.
    """
    mark = "?" if url.startswith("sqlite:") else "$1"
    where = f"WHERE q.{column} " + ("IS NOT NULL" if since is None else f">= {mark}")
    order = f"ORDER BY q.{column} LIMIT {int(most)}"
    asked = f"{_all(query)} {where} {order}"
    return await rows_of(url, asked, most, () if since is None else (since,))


async def any_without(url: str, query: str, *, column: str) -> bool:
    """Whether a query has rows without a value in a column.

    Raises:
        Invalid, Unavailable: as ``rows_behind``.
    """
    return bool(await rows_of(url, f"{_all(query)} WHERE q.{column} IS NULL LIMIT 1", 1))


def _all(query: str) -> str:
    # The query and the column are the configuration's; only reading is let through.
    return f"SELECT * FROM ({query.rstrip().rstrip(';')}) AS q"


def _from_sqlite(
    path: str, query: str, most: int, values: Sequence[Any]
) -> Sequence[Mapping[str, Any]]:
    ends = monotonic() + TIMEOUT_S
    try:
        raw = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    except sqlite3.Error as error:
        raise Unavailable(say.CANNOT_OPEN()) from error
    try:
        raw.row_factory = sqlite3.Row
        # A query that attaches, writes or sets anything is refused before it runs.
        raw.set_authorizer(lambda action, *_: 0 if action in _READS else sqlite3.SQLITE_DENY)
        raw.set_progress_handler(lambda: int(monotonic() > ends), _STEPS)
        return [dict(row) for row in raw.execute(query, values).fetchmany(most + 1)]
    except sqlite3.Error as error:
        if monotonic() > ends:
            raise Unavailable(say.TOO_LONG()) from error
        raise Invalid([Fault("/query", "refused", str(error))]) from error
    finally:
        raw.close()


async def _from_postgres(
    url: str, query: str, most: int, values: Sequence[Any]
) -> Sequence[Mapping[str, Any]]:
    try:
        import asyncpg  # noqa: PLC0415  # Whoever runs on SQLite alone has no such package.
    except ImportError as missing:
        sentence = f"PostgreSQL needs `pip install orderkeep[scale]`: {missing}"
        raise Invalid([Fault("/database_url", "not-installed", sentence)]) from missing
    settings = {"statement_timeout": str(int(TIMEOUT_S * 1000))}
    try:
        connection = await asyncpg.connect(
            url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, server_settings=settings
        )
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise Unavailable(say.UNREACHED()) from error
    try:
        async with connection.transaction(readonly=True):
            found = await (await connection.cursor(query, *values)).fetch(most + 1)
    except asyncpg.QueryCanceledError as error:
        raise Unavailable(say.TOO_LONG()) from error
    except asyncpg.PostgresError as error:
        raise Invalid([Fault("/query", "refused", str(error))]) from error
    finally:
        await connection.close()
    return [dict(row) for row in found]
