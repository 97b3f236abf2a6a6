"""Bringing a database to the schema this code expects."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from orderkeep.adapters.sql.connections import database_path, open_link
from orderkeep.adapters.sql.version import HEAD, is_served, not_served
from orderkeep.kernel.errors import OrderkeepError

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaBehind(OrderkeepError):
    """The database is older than this program, or too new for it."""


def behind(found: str | None, where: str = "The database") -> SchemaBehind:
    """Why this program does not serve a database, and what to do."""
    return SchemaBehind(not_served(found, where))


def migrate(url: str) -> str:
    """Run the migrations that are missing, all or none; returns the version that is there then.

    A schema of a later release stays as it is, where this program runs on it.

    Raises:
        SchemaBehind: it is too new for this program.
        StoreMisconfigured: the address or the file system will not do.
    """
    path = database_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    link = open_link(path)
    try:
        if is_served(found := _version(link.raw)):
            return found or HEAD
        if found is not None and found > HEAD:
            raise behind(found, str(path))
        from alembic import command  # noqa: PLC0415  # A third of a second, rarely needed.

        link.raw.execute("BEGIN IMMEDIATE")
        config = alembic_config()
        link.core.begin()  # Alembic commits by itself unless it finds itself inside a transaction
        config.attributes["connection"] = link.core
        command.upgrade(config, "head")
        link.raw.execute("COMMIT")
        return HEAD
    finally:
        link.close()


def alembic_config() -> "Config":
    """Where our migrations are, for Alembic."""
    from alembic.config import Config  # noqa: PLC0415  # As above.

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config


def require_current(path: Path) -> None:
    """Refuse a database of another version.

    Raises:
        SchemaBehind: says what to do.
    """
    found = None
    if path.exists():
        link = open_link(path)
        try:
            found = _version(link.raw)
        finally:
            link.close()
    if not is_served(found):
        raise behind(found, str(path))


def _version(raw: sqlite3.Connection) -> str | None:
    try:
        row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None  # nothing has been migrated yet
    return None if row is None else str(row[0])
