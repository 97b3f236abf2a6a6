"""What acceptance tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.testing.door import DoorUnderTest
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import Keys, prepare


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keys]:
    """A database that every test copies: people and keys take their time to make."""
    folder = tmp_path_factory.mktemp("template")
    return folder, prepare(folder)


@pytest.fixture(scope="session")
def shared_template(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PostgresServer, str, Keys]:
    """The same on PostgreSQL: the server, the database's name, and what lets a test in."""
    name = "acceptance_template"
    url = postgres.database(name=name)
    return postgres, name, prepare(tmp_path_factory.mktemp("prepared"), url)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorUnderTest]:
    """A door that its tests share; one that needs another overrides it."""
    door = DoorUnderTest(Path(tmp_path_factory.mktemp("door")))
    door.start()
    yield door
    door.stop()
