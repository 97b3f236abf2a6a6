"""Bringing a PostgreSQL database to the schema this code expects."""

from alembic import command
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from orderkeep.adapters.sql.migrate import alembic_config, behind
from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED, cannot_open
from orderkeep.adapters.sql.postgres.link import PgLink, engine_for, open_link
from orderkeep.adapters.sql.version import HEAD, is_served

MIGRATING = 6_204_011_500
"""Whoever migrates this database holds this advisory lock; any number nobody else uses will do."""

_IS_THERE = "SELECT to_regclass('alembic_version') IS NOT NULL"
_VERSION = "SELECT version_num FROM alembic_version"


async def migrate(url: str) -> str:
    """Run the migrations that are missing, all or none; returns the version that is there then.

    A schema of a later release stays as it is, where this program runs on it. Several processes
    may start at once: the second one waits, and finds the work done.

    Raises:
        StoreMisconfigured, StoreBusy: the address or the server will not do; says why.
        SchemaBehind: the schema is too new for this program.
    """
    engine = engine_for(url, "orderkeep migrate")
    try:
        link = await open_link(engine)
    except (*DRIVER_FAILED, SQLAlchemyError) as error:
        raise cannot_open(url, error) from error
    try:
        await link.bare.execute("BEGIN")
        # With the transaction the lock goes, however it ends. A big table takes its time.
        await link.bare.execute("SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = 0")
        await link.bare.execute(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        found = await _version(link)
        if found is not None and found > HEAD and not is_served(found):
            raise behind(found)
        if not is_served(found):
            await link.connection.run_sync(_upgrade)
            found = HEAD
        await link.bare.execute("COMMIT")
        return found or HEAD
    finally:
        await link.connection.close()
        await engine.dispose()


async def require_current(link: PgLink) -> None:
    """Refuse a database of another version.

    Raises:
        SchemaBehind: says what to do.
    """
    found = await _version(link)
    if not is_served(found):
        raise behind(found)


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
