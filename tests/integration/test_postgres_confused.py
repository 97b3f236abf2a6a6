"""asyncpg loses its place when a connection is cut in the middle of a word, and says so.

``make faults`` found it (seed 20261123, connections cut): the loops that keep a process seen and
let it hear of others ended for good, the bridge sent nothing any more, and nobody was told.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import asyncpg
import pytest

from orderkeep.adapters.sql.lanes import CommitFailed
from orderkeep.adapters.sql.postgres.errors import is_lost, is_not_the_units
from orderkeep.adapters.sql.postgres.link import PgLink
from orderkeep.adapters.sql.postgres.presence import Presence
from orderkeep.adapters.sql.postgres.telling import Telling, Told
from orderkeep.adapters.sql.postgres.transactions import commit

CONFUSED = asyncpg.InternalClientError(
    "cannot switch to state 15; another operation (2) is in progress"
)


class Confusing(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types.
    """A real connection that is cut, and confused by it, the next ``times`` it is asked."""

    times = 0

    def _once(self) -> None:
        if Confusing.times:
            Confusing.times -= 1
            self.terminate()
            raise CONFUSED

    async def fetch(self, *words: Any, **more: Any) -> Any:
        self._once()
        return await super().fetch(*words, **more)

    async def execute(self, *words: Any, **more: Any) -> Any:
        self._once()
        return await super().execute(*words, **more)


def connecting(url: str) -> Callable[[], Any]:
    return lambda: asyncpg.connect(url, connection_class=Confusing)


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not seen():  # noqa: ASYNC110  # A presence rings no bell for a test.
            await asyncio.sleep(0.02)


async def test_who_lost_its_place_is_seen_again(postgres_url: str) -> None:
    presence = Presence(connecting(postgres_url), "a bridge")
    await presence.start()
    Confusing.times = 1

    await until(lambda: not Confusing.times)
    await until(lambda: presence.is_seen)

    assert await presence.leads("watch")
    await presence.stop()


async def test_who_lost_its_place_hears_of_others_again(postgres_url: str) -> None:
    heard: list[Told] = []
    listening = Telling(connecting(postgres_url), heard.append)
    telling = Telling(connecting(postgres_url), heard.append)
    listening.start()
    await listening.listening.wait()
    Confusing.times = 1
    listening.tell(["relay"], [])
    await until(lambda: not Confusing.times)
    telling.start()
    await telling.listening.wait()

    async with asyncio.timeout(120):
        while not heard:
            telling.tell(["bridge"], [])
            await asyncio.sleep(0.1)

    assert heard[0].topics == ["bridge"]
    await telling.stop()
    await listening.stop()


async def test_a_commit_that_confused_the_driver_may_be_there(postgres_url: str) -> None:
    bare = await connecting(postgres_url)()
    Confusing.times = 1

    with pytest.raises(CommitFailed):
        await commit(PgLink(cast("Any", None), bare))


def test_nothing_that_a_unit_did_confuses_the_driver() -> None:
    assert is_lost(CONFUSED)
    assert is_not_the_units(CONFUSED)
