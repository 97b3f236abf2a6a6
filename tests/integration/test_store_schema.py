"""The migrations lead exactly to the tables the code is written for."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from orderkeep.adapters.sql.connections import memory_link
from orderkeep.adapters.sql.ledger import NotReadable, SqlLedger
from orderkeep.adapters.sql.migrate import SchemaBehind, alembic_config, migrate
from orderkeep.adapters.sql.tables import metadata
from orderkeep.adapters.sql.version import HEAD, is_served


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


@pytest.mark.parametrize(
    "found, head, served",
    [
        ("0001", "0001", True),
        ("0002-0001", "0001", True),  # It only added something.
        ("0003-0001", "0001", True),
        ("0003-0002", "0001", False),  # It took away what the first needs.
        ("0003-0002", "0002-0001", True),
        ("0002-0001", "0003-0002", False),
        ("0001", "0002-0001", False),
        ("0002", "0001", False),
        (None, "0001", False),
    ],
)
def test_a_program_runs_on_the_schema_of_a_later_release_that_only_adds(
    found: str | None, head: str, *, served: bool
) -> None:
    assert is_served(found, head) is served


@pytest.mark.parametrize("later, stays", [("0002-0001", True), ("0002-0002", False)])
def test_a_later_schema_is_left_as_it_is(tmp_path: Path, later: str, *, stays: bool) -> None:
    path = tmp_path / "orderkeep.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (later,))

    if stays:
        assert migrate(f"sqlite:///{path}") == later
        SqlLedger(path).close()  # It may be looked at, too.
        return
    with pytest.raises(SchemaBehind, match="too new for this program"):
        migrate(f"sqlite:///{path}")
    with pytest.raises(NotReadable, match="too new for this program"):
        SqlLedger(path)


def test_there_is_one_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]
