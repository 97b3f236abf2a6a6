"""A question is held by a short lease, which is renewed for as long as its file takes.

So the question of a quoter that died is free within a lease, however long files may take.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from orderkeep.kernel.errors import Conflict, Unavailable, Uncertain

LEASE: Final = timedelta(minutes=1)
RENEWED: Final = timedelta(seconds=15)
"""How often a lease is begun anew: a store that is busy for two of these loses nothing."""

T = TypeVar("T")


async def held(
    measuring: Coroutine[Any, Any, T],
    renew: Callable[[], Awaitable[None]],
    every: timedelta = RENEWED,
) -> T:
    """What ``measuring`` answers; until then ``renew`` is called again and again.

    A store in trouble does not end the measuring: at worst another does the same, and one answer
    counts. Whatever else ``renew`` raises ends it.
    """
    task = asyncio.ensure_future(measuring)
    try:
        while not (await asyncio.wait({task}, timeout=every.total_seconds()))[0]:
            with suppress(Conflict, Unavailable, Uncertain):
                await renew()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
