"""The migrations lead exactly to the tables the code is written for."""

import sqlite3
from pathlib import Path

from alembic.script import ScriptDirectory

from orderkeep.adapters.sql.connections import memory_link
from orderkeep.adapters.sql.migrate import HEAD, alembic_config, migrate
from orderkeep.adapters.sql.tables import metadata


def schema(raw: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Everything that matters of every table: columns, indexes with their conditions, keys."""
    tables = raw.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
    ).fetchall()
    found: dict[str, list[tuple[object, ...]]] = {}
    for name, sql in tables:
        found[name] = [
            ("without rowid", "WITHOUT ROWID" in sql),
            *raw.execute(
                'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (name,)
            ),
            *sorted(
                raw.execute('SELECT "from", "table", "to" FROM pragma_foreign_key_list(?)', (name,))
            ),
            *sorted(
                raw.execute('SELECT name, "unique", partial FROM pragma_index_list(?)', (name,))
            ),
        ]
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found["indexes"] = sorted(raw.execute(indexes).fetchall())
    return found


def test_the_migrated_schema_is_the_one_the_code_knows(tmp_path: Path) -> None:
    path = tmp_path / "orderkeep.db"
    fresh = memory_link()
    metadata.create_all(fresh.core)

    migrate(f"sqlite:///{path}")

    migrated = sqlite3.connect(path)
    assert schema(migrated) == schema(fresh.raw)
    migrated.close()
    fresh.close()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"

    assert migrate(url) == migrate(url) == HEAD


def test_there_is_one_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]
