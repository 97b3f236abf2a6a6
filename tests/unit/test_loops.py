"""A worker's loop: what it says of a step that fails."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog

from orderkeep.kernel.bells import Bells
from orderkeep.roles import loops


async def test_failures_that_are_alike_tell_once_where_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops, "PAUSE_AFTER_FAILURE_S", 0)
    stop = asyncio.Event()
    steps: Iterator[Exception | None] = iter(
        [OSError("full"), OSError("full"), ValueError("other"), None, ValueError("again")]
    )

    async def step() -> int:
        failure = next(steps, StopAsyncIteration())
        if isinstance(failure, StopAsyncIteration):
            stop.set()
        elif failure is not None:
            raise failure
        return 1

    with structlog.testing.capture_logs() as said:
        await loops.loop("test", step, Bells(), "test", stop)

    assert [(one["reason"], one["exc_info"]) for one in said] == [
        ("OSError", True), ("OSError", False), ("ValueError", True), ("ValueError", True),
    ]  # fmt: skip
