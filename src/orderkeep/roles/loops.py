"""Worker loops: woken by a bell, with polling as the net, stopped between two steps."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from orderkeep.kernel.bells import Bells

log = structlog.get_logger()

POLL_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0
STEP_ASIDE_S = 0.05
"""How long a worker waits, at most, before each step while many orders come in at once."""
FAR_ASIDE_S = 5.0
"""The same, at most, while orders are turned away: what is kept can be moved on later."""
LOOKS = 10
"""How often who stands aside looks whether that is over."""


async def loop(
    name: str,
    step: Callable[[], Awaitable[int]],
    bells: Bells,
    topic: str,
    stop: asyncio.Event,
    poll_s: float = POLL_S,
    aside_s: Callable[[], float] = lambda: 0.0,
) -> None:
    """Run ``step`` until it finds nothing, wait for the bell or the poll, and again.

    In a rush it steps aside before each step, for ``aside_s`` or until that is over: the event
    loop, or the machine, belongs to who stands at the door.
    A failing step is logged and tried again after a pause: what it worked on is on disk. Where it
    failed is told once for failures that are alike: a full disk would fill itself with them.
    """
    told = ""
    while not stop.is_set():
        await _step_aside(stop, aside_s)
        try:
            found = await step()
        except Exception as failure:  # Top of a worker loop.
            reason = type(failure).__name__
            log.exception("worker.step_failed", worker=name, reason=reason, exc_info=told != reason)
            told = reason
            await _rest(stop, PAUSE_AFTER_FAILURE_S)
            continue
        told = ""
        if not found:
            await bells.wait(topic, poll_s)


async def _step_aside(stop: asyncio.Event, aside_s: Callable[[], float]) -> None:
    waited = 0.0
    while (wanted := aside_s()) > waited and not stop.is_set():
        look = min(wanted / LOOKS, wanted - waited)
        await _rest(stop, look)
        waited += look


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
