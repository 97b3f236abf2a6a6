"""What every test gets: ``async def`` tests run on their own event loop, without a plugin.

A test or fixture that asks for ``runner`` shares one loop with it: connections belong to a loop.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from orderkeep.testing.postgres_server import TEMPLATE, PostgresServer

HANGS_S = 600.0
"""Longer than any test takes on a machine with much else to do."""

# How long an example takes depends on the neighbours on the machine, not on what is tested.
settings.register_profile(
    "orderkeep", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("orderkeep")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Put a coroutine test, plain or under Hypothesis's ``@given``, into ``asyncio.run``."""
    property_test = getattr(pyfuncitem.obj, "hypothesis", None)
    if property_test is not None:
        property_test.inner_test = _on_a_loop(property_test.inner_test)
    else:
        runner = pyfuncitem.funcargs.get("runner")
        pyfuncitem.obj = _on_a_loop(
            pyfuncitem.obj, runner.run if isinstance(runner, asyncio.Runner) else asyncio.run
        )


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop of a test and of its fixtures."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of our own, with a migrated database to copy."""
    from orderkeep.adapters.sql.postgres.migrate import migrate  # noqa: PLC0415  # Loads Alembic.

    with PostgresServer() as server:
        asyncio.run(migrate(server.database(name=TEMPLATE)))
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, migrated database."""
    url = postgres.database(TEMPLATE)
    yield url
    postgres.drop(url)


def _on_a_loop(
    test: Callable[..., Any], run_on_a_loop: Callable[..., Any] = asyncio.run
) -> Callable[..., Any]:
    if not iscoroutinefunction(test):
        return test

    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        run_on_a_loop(_ending(test(*args, **kwargs)))

    return run


async def _ending(test: Coroutine[Any, Any, None]) -> None:
    """The test; one that hangs says where every task stands, and fails."""
    late = asyncio.get_running_loop().call_later(HANGS_S, _say_where_all_stand)
    try:
        async with asyncio.timeout(HANGS_S + 1):
            await test
    finally:
        late.cancel()


def _say_where_all_stand() -> None:
    for task in asyncio.all_tasks():
        task.print_stack()
