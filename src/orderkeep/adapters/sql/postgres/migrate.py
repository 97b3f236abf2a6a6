"""Bringing a PostgreSQL database to the schema this code expects."""

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from orderkeep.adapters.sql.migrate import HEAD, SchemaBehind, alembic_config
from orderkeep.adapters.sql.postgres.errors import cannot_open
from orderkeep.adapters.sql.postgres.link import PgLink, engine_for, open_link

MIGRATING = 6_204_011_500
"""Whoever migrates this database holds this advisory lock; any number nobody else uses will do."""

_IS_THERE = "SELECT to_regclass('alembic_version') IS NOT NULL"
_VERSION = "SELECT version_num FROM alembic_version"


async def migrate(url: str) -> str:
    """Run the migrations that are missing, all or none; returns the version reached.

    Several processes may start at once: the second one waits, and finds the work done.

    Raises:
        StoreMisconfigured, StoreBusy: the address or the server will not do; says why.
    """
    engine = engine_for(url, "orderkeep migrate")
    try:
        link = await open_link(engine)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        raise cannot_open(url, error) from error
    try:
        await link.bare.execute("BEGIN")
        # With the transaction the lock goes, however it ends. A big table takes its time.
        await link.bare.execute("SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = 0")
        await link.bare.execute(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        if await _version(link) != HEAD:
            await link.connection.run_sync(_upgrade)
        await link.bare.execute("COMMIT")
        return HEAD
    finally:
        await link.connection.close()
        await engine.dispose()


async def require_current(link: PgLink) -> None:
    """Refuse a database of another version.

    Raises:
        SchemaBehind: says what to do.
    """
    found = await _version(link)
    if found != HEAD:
        raise SchemaBehind(
            f"The database has schema {found or 'none'}, this program needs {HEAD}:"
            " run `orderkeep migrate` first."
        )


async def _version(link: PgLink) -> str | None:
    if not await link.bare.fetchval(_IS_THERE):
        return None
    found = await link.bare.fetchval(_VERSION)
    return None if found is None else str(found)


def _upgrade(core: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = core
    with core.begin():  # to keep Alembic from one of its own; the driver sees nothing of it
        command.upgrade(config, "head")
