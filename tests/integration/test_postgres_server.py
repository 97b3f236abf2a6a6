"""The PostgreSQL that other tests lean on: it is real, syncs, and comes back after a kill."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orderkeep.bench import postgres
from orderkeep.testing.postgres_server import PostgresServer


async def ask(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_what_was_committed_is_there_after_a_kill() -> None:
    with PostgresServer() as server:
        url = server.database()
        asyncio.run(ask(url, "CREATE TABLE kept AS SELECT 7 AS n"))

        server.kill()
        server.start()

        assert asyncio.run(ask(url, "SELECT n FROM kept")) == 7
        assert asyncio.run(ask(url, "SHOW fsync")) == "on"


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "INSTALLED", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


@pytest.mark.usefixtures("_nothing_installed")
def test_programs_that_were_unpacked_beside_python_are_found(tmp_path: Path) -> None:
    """A machine without PostgreSQL gets one from PyPI, in the environment and nowhere else."""
    for program in ("initdb", "postgres"):
        (tmp_path / program).touch()

    assert postgres.programs() == tmp_path


@pytest.mark.usefixtures("_nothing_installed")
def test_missing_programs_are_named() -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install postgresql"):
        postgres.programs()
