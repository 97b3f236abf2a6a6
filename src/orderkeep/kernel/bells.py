"""Telling a waiting worker that there is something to do, with polling as the net."""

import asyncio
from collections import defaultdict


class Bells:
    """One bell per topic inside a process; rung after the commit that made the work."""

    def __init__(self) -> None:
        self._bells: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def ring(self, topic: str) -> None:
        """Wake whoever waits for the topic, now or at its next wait."""
        self._bells[topic].set()

    async def wait(self, topic: str, timeout_s: float) -> None:
        """Return when the topic is rung or the time is over.

        The bell is cleared on return, before the caller looks for work: a ring in between is kept.
        """
        bell = self._bells[topic]
        try:
            async with asyncio.timeout(timeout_s):
                await bell.wait()
        except TimeoutError:
            return
        finally:
            bell.clear()
