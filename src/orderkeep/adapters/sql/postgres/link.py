"""PostgreSQL connections that cannot forget a commit: every setting is set, then read back."""

from datetime import timedelta
from functools import partial
from typing import Any, cast

import asyncpg
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orderkeep.adapters.sql.connections import StoreMisconfigured
from orderkeep.adapters.sql.instants import EPOCH, MICROSECOND
from orderkeep.adapters.sql.lanes import RETRY_AFTER
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.kernel.errors import StoreBusy
from orderkeep.orders.view import BoardRow

SCHEMES = ("postgresql://", "postgres://")
OLDEST_SERVER = 150000
CONNECT_TIMEOUT_S = 5.0

STATEMENT_TIMEOUT = timedelta(seconds=15)
LOCK_TIMEOUT = timedelta(seconds=5)
IDLE_TIMEOUT = timedelta(seconds=15)
"""A unit never waits for anything but the database: one that idles has lost its process."""
ANSWER_TIMEOUT = timedelta(seconds=25)
"""A server that says nothing for so long is as good as gone; longer than any of its own limits."""

_PG_EPOCH = (EPOCH.replace(year=2000) - EPOCH) // MICROSECOND
SAFE = ("synchronous_commit", "fsync", "full_page_writes")
"""What has to be on for a receipt to be true."""
_FACTS = (*SAFE, "transaction_read_only")


class PgLink:
    """One connection, seen bare (``bare``), with ``?`` (``raw``) and through Core (``core``).

    Transactions are driven by us on ``bare``; never call begin, commit or close on ``core``.
    Instants are microseconds since 1970 and decimals texts on all three, as they are on SQLite, so
    that a statement is one text for both; the tables hold ``timestamptz`` and ``numeric``.
    """

    def __init__(self, connection: AsyncConnection, bare: Any) -> None:
        self.connection = connection
        self.bare = bare
        self.raw = Raw(bare)
        self.rows: dict[int, BoardRow] | None = None
        self.watched = True  # by other processes, perhaps

    @property
    def core(self) -> Connection:
        """SQLAlchemy Core inside a unit of work."""
        return cast(Connection, self.connection.sync_connection)

    @property
    def is_closed(self) -> bool:
        """Whether the driver knows that the connection is gone."""
        return bool(self.bare.is_closed())

    def drop(self) -> None:
        """Let it go at once; whatever ran on it is undone by the server."""
        self.bare.terminate()


def engine_for(url: str, name: str) -> AsyncEngine:
    """Where connections come from; ``name`` is what the server's list of sessions shows.

    Raises:
        StoreMisconfigured: the address names something else.
    """
    if not url.startswith(SCHEMES):
        raise StoreMisconfigured(
            "The database address must look like postgresql://user@host/database"
        )
    # The driver reads the address itself: SQLAlchemy would hand it ``sslmode`` and the like as
    # arguments, which it does not take.
    connect = partial(
        asyncpg.connect,
        url,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=ANSWER_TIMEOUT.total_seconds(),
        server_settings=_settings(name),
    )
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # transactions are ours, not SQLAlchemy's
        hide_parameters=True,  # its errors are logged, and what was to be written may be personal
    )


async def open_link(engine: AsyncEngine) -> PgLink:
    """Open a connection whose commits are on disk when they return.

    Raises:
        StoreMisconfigured: the server could lose what it acknowledged, or is too old.
        StoreBusy: it is a standby.
        OSError, asyncpg.PostgresError: it cannot be reached.
    """
    connection = await engine.connect()
    try:
        bare = cast(Any, (await connection.get_raw_connection()).driver_connection)
        await set_codecs(bare)
        _verify(await facts(bare))
    except BaseException:
        await connection.close()
        raise
    return PgLink(connection, bare)


async def facts(bare: Any) -> dict[str, str | int]:
    """The settings that decide whether an acknowledged order survives a power cut."""
    asked = ", ".join(f"current_setting('{name}')" for name in _FACTS)
    record = await bare.fetchrow(f"SELECT {asked}, current_setting('server_version_num')::int")
    return dict(zip((*_FACTS, "server_version"), record, strict=True))


def _verify(found: dict[str, str | int]) -> None:
    wrong = [f"{name}={found[name]}" for name in SAFE if found[name] != "on"]
    if wrong:
        raise StoreMisconfigured(
            f"This PostgreSQL can lose acknowledged orders: {', '.join(wrong)}. Set them to on."
        )
    if int(found["server_version"]) < OLDEST_SERVER:
        raise StoreMisconfigured("This PostgreSQL is too old: orderkeep needs version 15 or newer.")
    if found["transaction_read_only"] != "off":  # a standby that may yet become the primary
        raise StoreBusy("This PostgreSQL takes no changes now", retry_after=RETRY_AFTER)


def _settings(name: str) -> dict[str, str]:
    return {
        "application_name": name,
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "statement_timeout": str(STATEMENT_TIMEOUT // timedelta(milliseconds=1)),
        "lock_timeout": str(LOCK_TIMEOUT // timedelta(milliseconds=1)),
        "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT // timedelta(milliseconds=1)),
        "timezone": "UTC",
        "plan_cache_mode": "force_generic_plan",
        # A plan made while a table is empty is kept: reading the whole of it must not look cheap.
        "enable_seqscan": "off",
        "jit": "off",  # our statements are short; compiling one takes longer than running it
    }


async def set_codecs(bare: Any) -> None:
    """Have a connection speak of instants and decimals as repositories do."""
    set_codec = partial(bare.set_type_codec, schema="pg_catalog")
    # On the wire an instant is microseconds since 2000: exact, and quicker than a datetime.
    await set_codec(
        "timestamptz",
        encoder=lambda micros: (micros - _PG_EPOCH,),
        decoder=lambda wire: wire[0] + _PG_EPOCH,
        format="tuple",
    )
    await set_codec("numeric", encoder=str, decoder=str, format="text")
