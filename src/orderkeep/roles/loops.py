"""Worker loops: woken by a bell, with polling as the net, stopped between two steps."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from orderkeep.kernel.bells import Bells

log = structlog.get_logger()

POLL_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0
STEP_ASIDE_S = 0.05
"""How long a worker waits before each step while many orders come in at once."""


async def loop(
    name: str,
    step: Callable[[], Awaitable[int]],
    bells: Bells,
    topic: str,
    stop: asyncio.Event,
    poll_s: float = POLL_S,
    in_a_rush: Callable[[], bool] = lambda: False,
) -> None:
    """Run ``step`` until it finds nothing, wait for the bell or the poll, and again.

    In a rush it steps aside before each step: the event loop belongs to who stands at the door.
    A failing step is logged and tried again after a pause: what it worked on is on disk.
    """
    while not stop.is_set():
        if in_a_rush():
            await _rest(stop, STEP_ASIDE_S)
        try:
            found = await step()
        except Exception as failure:  # Top of a worker loop.
            log.exception("worker.step_failed", worker=name, reason=type(failure).__name__)
            await _rest(stop, PAUSE_AFTER_FAILURE_S)
            continue
        if not found:
            await bells.wait(topic, poll_s)


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
