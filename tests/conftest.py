"""What every test gets: ``async def`` tests run on their own event loop, without a plugin."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

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
        pyfuncitem.obj = _on_a_loop(pyfuncitem.obj)


def _on_a_loop(test: Callable[..., Any]) -> Callable[..., Any]:
    if not iscoroutinefunction(test):
        return test

    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        coroutine: Coroutine[Any, Any, None] = test(*args, **kwargs)
        asyncio.run(coroutine)

    return run
