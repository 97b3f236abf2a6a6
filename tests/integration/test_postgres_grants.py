"""Every role's database user may do its work, and nothing else: asked of a real PostgreSQL."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from orderkeep.adapters.sql.postgres.grants import (
    GRANTS,
    PREFIX,
    ROLES,
    grant,
    statements,
    user,
    verifier,
)
from orderkeep.adapters.sql.postgres.migrate import migrate
from orderkeep.adapters.sql.postgres.store import open_store
from orderkeep.adapters.sql.tables import metadata
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import Invalid, StoreBusy
from orderkeep.roles.run import ROLES as ALL_ROLES
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import DEADLINE_S

HEARS_WITHIN_S = 60.0
COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
LETTERS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
NOBODYS = ("TRUNCATE", "REFERENCES", "TRIGGER")
HELD = "SELECT has_table_privilege($1, $2, $3)"
STAFF = ("people", "sessions", "saved_views", "audit")
MES = ("deliveries", "destinations", "floor_work_orders", "inbox", "lost_orders")


@pytest.fixture
def granted(postgres_url: str) -> str:
    """A database whose roles have their users; its owner's address."""
    asyncio.run(grant(postgres_url, PREFIX, {}))
    return postgres_url


def as_user(url: str, role: str) -> str:
    """The same database, as the user of a role."""
    return url.replace("orderkeep@", f"{user(role)}@")


def test_a_new_table_needs_a_row_that_says_who_may_use_it() -> None:
    assert set(GRANTS) == {*metadata.tables, "alembic_version"}
    assert set(ROLES) == ALL_ROLES
    for table, rights in GRANTS.items():
        assert set(rights) <= set(ROLES), table
        assert all(set(letters) <= set(LETTERS) for letters in rights.values()), table


async def test_the_server_knows_exactly_the_rights_of_the_table(granted: str) -> None:
    owner = await asyncpg.connect(granted)
    held = {
        (table, role, letter): await owner.fetchval(HELD, user(role), table, word)
        for table in GRANTS
        for role in ROLES
        for letter, word in LETTERS.items()
    }
    beyond = [
        (role, table, word)
        for table in GRANTS
        for role in ROLES
        for word in NOBODYS
        if await owner.fetchval(HELD, user(role), table, word)
    ]
    await owner.close()

    assert {at for at, may in held.items() if may} == {
        (table, role, letter)
        for table, rights in GRANTS.items()
        for role, letters in rights.items()
        for letter in letters
    }
    assert beyond == []


@pytest.mark.parametrize("table", [*STAFF, *MES])
async def test_the_door_cannot_read_what_is_the_staffs_or_the_mess(
    granted: str, table: str
) -> None:
    door = await asyncpg.connect(as_user(granted, "door"))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await door.fetch(f"SELECT * FROM {table}")

    await door.close()


@pytest.mark.parametrize("role", ROLES)
async def test_nobody_writes_history_anew(granted: str, role: str) -> None:
    session = await asyncpg.connect(as_user(granted, role))
    for forbidden in (
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM orders",
        "DELETE FROM submissions",
        "UPDATE idempotency SET order_n = 1",
        "DELETE FROM idempotency",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "SET ROLE orderkeep",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(forbidden)
    await session.close()


async def test_granting_again_takes_back_what_was_given_by_hand(granted: str) -> None:
    owner = await asyncpg.connect(granted)
    await owner.execute(f"GRANT ALL ON people, events TO {user('door')}")
    await owner.execute(f"GRANT CREATE ON SCHEMA public TO {user('door')}")

    await grant(granted, PREFIX, {})

    for table in ("people", "events"):
        assert not await owner.fetchval(HELD, user("door"), table, "UPDATE")
    asked = "SELECT has_schema_privilege($1, 'public', 'CREATE')"
    assert not await owner.fetchval(asked, user("door"))
    await owner.close()


async def test_the_printed_statements_do_the_same(postgres_url: str) -> None:
    owner = await asyncpg.connect(postgres_url)
    database = postgres_url.rpartition("/")[2]

    await owner.execute(";\n".join(("BEGIN", *statements(database, "printed_"), "COMMIT")))

    assert await owner.fetchval(HELD, "printed_door", "orders", "INSERT")
    assert not await owner.fetchval(HELD, "printed_door", "people", "SELECT")
    await owner.close()


# --- passwords ------------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> Iterator[PostgresServer]:
    """A server that asks users of roles for their password, and writes down every statement."""
    with PostgresServer() as server:
        server.settings["log_statement"] = "all"
        rules = server.folder / "data" / "pg_hba.conf"
        asked = "".join(f"host all {user(role)} 127.0.0.1/32 scram-sha-256\n" for role in ROLES)
        rules.write_text(asked + rules.read_text(encoding="utf-8"), encoding="utf-8")
        server.restart()
        yield server


async def test_a_password_lets_in_and_is_in_no_log(guarded: PostgresServer) -> None:
    url = await asyncio.to_thread(guarded.database)
    password = secrets.token_urlsafe(18)
    await migrate(url)

    await grant(url, PREFIX, {"door": verifier(password, secrets.token_bytes(16))})

    door = as_user(url, "door")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(door, password="guessed")
    session = await asyncpg.connect(door, password=password)
    assert await session.fetchval("SELECT count(*) FROM orders") == 0
    await session.close()
    said = (guarded.folder / "log").read_text(encoding="utf-8")
    assert "ALTER ROLE" in said
    assert password not in said
    with pytest.raises(asyncpg.InvalidPasswordError):  # Without a password nobody signs in by one.
        await asyncpg.connect(as_user(url, "office"), password="")


async def test_a_store_finds_its_password_where_every_program_of_postgresql_does(
    guarded: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(guarded.database)
    await migrate(url)
    await grant(url, PREFIX, {"watch": verifier("let-me-in", secrets.token_bytes(16))})
    kept = guarded.folder / "pgpass"
    kept.write_text(f"127.0.0.1:*:*:{user('watch')}:let-me-in\n", encoding="utf-8")
    kept.chmod(0o600)

    with pytest.raises(StoreBusy):
        await open_store(as_user(url, "watch"), Bells())
    monkeypatch.setenv("PGPASSFILE", str(kept))
    async with await open_store(as_user(url, "watch"), Bells()) as store:
        await asyncio.wait_for(store.telling.listening.wait(), HEARS_WITHIN_S)


@pytest.mark.parametrize("password", ["", "two words", "пароль", "tab\t"])
def test_a_password_that_servers_read_differently_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        verifier(password, b"salt")


# --- commands -------------------------------------------------------------------------------------


def command(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """`orderkeep`, as whoever owns the tables."""
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
    return subprocess.run(
        [*COMMAND, *words],
        env={**ours, "ORDERKEEP_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_two_commands_make_the_tables_and_the_users(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.database()
    (tmp_path / "door").write_text("let-me-in\n", encoding="utf-8")
    prefixed = ("--prefix", "by_command_", "--passwords", str(tmp_path))

    said = [command(url, "migrate"), command(url, "grants", *prefixed)]

    assert [done.returncode for done in said] == [0, 0], [done.stderr for done in said]
    assert said[1].stdout.splitlines()[:2] == [
        "by_command_door has its rights and its password",
        "by_command_office has its rights",
    ]
    assert "let-me-in" not in said[1].stdout + said[1].stderr
    door = as_user(url, "door").replace(PREFIX, "by_command_")
    assert asyncio.run(_count(door)) == 0
    postgres.drop(url)


@pytest.mark.parametrize(
    "url, words",
    [
        ("sqlite:///orders.db", ("grants",)),
        ("postgresql://orderkeep@127.0.0.1:1/none", ("grants", "--prefix", 'x"; DROP')),
        ("postgresql://orderkeep@127.0.0.1:1/none", ("grants", "--passwords", "nowhere")),
    ],
)
def test_a_call_that_cannot_be_meant_so_is_refused(url: str, words: tuple[str, ...]) -> None:
    done = command(url, *words)

    assert done.returncode == 64
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_who_may_not_make_users_is_told_so_in_a_sentence(granted: str) -> None:
    done = command(as_user(granted, "watch"), "grants", "--prefix", "more_")

    assert done.returncode == 69
    assert "permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def _count(url: str) -> int:
    session = await asyncpg.connect(url)
    counted = await session.fetchval("SELECT count(*) FROM orders")
    await session.close()
    return int(counted)
