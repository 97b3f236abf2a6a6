"""What integration tests share."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orderkeep.access.keys import Partner
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import PartnerId
from orderkeep.testing.stores import ON_DISK, ON_POSTGRESQL, Store, opened


@pytest.fixture(params=(ON_DISK, ON_POSTGRESQL))
def store(
    request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner
) -> Iterator[Store]:
    """Each database there is, with the partner P whose orders come from a present system."""
    address = partial(request.getfixturevalue, "postgres_url")
    with opened(request.param, tmp_path, address, runner, Bells()) as one:
        runner.run(one.write(_shop))
        yield one


def _shop(work: Any) -> None:
    work.access.add_partner(Partner(PartnerId("p"), "P", None, SystemClock().now()))
