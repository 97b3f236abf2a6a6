"""Bringing a database to the schema this code expects."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from orderkeep.adapters.sql.connections import database_path, open_link
from orderkeep.kernel.errors import OrderkeepError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"
"""The newest migration; a test compares it with the files."""

_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaBehind(OrderkeepError):
    """The database is older or newer than this program."""


def migrate(url: str) -> str:
    """Run the migrations that are missing, all or none; returns the version reached.

    Raises:
        StoreMisconfigured: the address or the file system will not do.
    """
    path = database_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    link = open_link(path)
    try:
        if _version(link.raw) == HEAD:
            return HEAD
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
    if found != HEAD:
        raise SchemaBehind(
            f"{path} has schema {found or 'none'}, this program needs {HEAD}:"
            " run `orderkeep migrate` first."
        )


def _version(raw: sqlite3.Connection) -> str | None:
    try:
        row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None  # nothing has been migrated yet
    return None if row is None else str(row[0])
