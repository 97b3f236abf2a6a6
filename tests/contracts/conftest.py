"""What a suite of a store's contract begins with; one that needs more in it overrides ``store``."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from orderkeep.kernel.bells import Bells
from orderkeep.testing.stores import STORES, Store, opened


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture(params=STORES)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner, bells: Bells
) -> Iterator[Store]:
    address = partial(request.getfixturevalue, "postgres_url")
    with opened(request.param, tmp_path, address, runner, bells) as one:
        yield one
