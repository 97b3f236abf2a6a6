"""What acceptance tests share."""

from pathlib import Path

import pytest

from orderkeep.testing.product import Keys, prepare


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keys]:
    """A database that every test copies: people and keys take their time to make."""
    folder = tmp_path_factory.mktemp("template")
    return folder, prepare(folder)
