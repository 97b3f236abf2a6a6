"""Replays of one cause begun by two processes on one PostgreSQL see each other's letters."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.util import await_only

from orderkeep.adapters.sql.postgres import store as postgres_store
from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.delivery.dead_letters import FOUR_EYES_ABOVE, Replay, State
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.replay import Replayer
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import EnvelopeId, Ids
from orderkeep.testing.rivals import NOON

KIND = "price.wanted"
SOME = FOUR_EYES_ABOVE // 2 + 1
"""Letters that one may send again alone, but not twice."""
DEADLINE_S = 120.0
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

Stores = tuple[PgStore, PgStore]


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOON


@pytest.fixture
def stores(postgres_url: str, runner: asyncio.Runner) -> Iterator[Stores]:
    """Of two processes: neither shares a connection with the other."""
    first = runner.run(postgres_store.open_store(postgres_url, Bells()))
    second = runner.run(postgres_store.open_store(postgres_url, Bells()))
    yield first, second
    runner.run(first.close())
    runner.run(second.close())


def replayer(store: PgStore, while_it_is_open: Callable[[], None] = lambda: None) -> Replayer:
    """Who calls something inside its transaction, when its replay is written in it."""

    def audit(*_: Any) -> None:
        while_it_is_open()

    return Replayer(
        store, {KIND: ("quoting",)}, lambda *_: False, lambda _: [], audit, Noon(), Ids()
    )


async def die(store: PgStore, why: str) -> str:
    """Letters of one cause; its fingerprint."""
    envelopes = [
        Envelope(EnvelopeId(f"{why}-{n}"), KIND, 1, f"OK-{n:06d}", NOON, "0" * 32, b"{}")
        for n in range(SOME)
    ]

    def put(work: Any) -> None:
        work.inbox.receive("quoting", envelopes, NOON)
        for one in envelopes:
            work.inbox.bury("quoting", one.id, NOON, why)

    await store.write(put)
    groups = await store.read(lambda work: work.dead_letters.groups(10))
    [mine] = [one.fingerprint for one in groups if one.cause == why]
    return mine


async def begin(replayer: Replayer, fingerprint: str) -> Replay:
    return await replayer.begin(fingerprint, 10**9, 6000, "vera", "mended")


async def waits_or_ends(url: str, task: "asyncio.Task[Replay]") -> None:
    """Until a task has ended, or its transaction waits for another one's lock."""
    server = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(DEADLINE_S):
            # The server tells nobody that somebody waits, so it is asked.
            while not task.done() and not await server.fetchval(_WAITING):  # noqa: ASYNC110  # No bell.
                await asyncio.sleep(0.01)
    finally:
        await server.close()


async def test_a_replay_begun_while_another_of_its_cause_is_not_committed_waits_for_it(
    stores: Stores, postgres_url: str
) -> None:
    first, second = stores
    cause = await die(first, "Broken")
    written, go_on = asyncio.Event(), asyncio.Event()

    def stand_still() -> None:
        written.set()
        await_only(go_on.wait())

    async with asyncio.timeout(DEADLINE_S):
        earlier = asyncio.create_task(begin(replayer(first, stand_still), cause))
        await written.wait()
        later = asyncio.create_task(begin(replayer(second), cause))
        await waits_or_ends(postgres_url, later)
        go_on.set()
        states = [(await earlier).state, (await later).state]

    assert states == [State.RUNNING, State.WAITING]


async def test_replays_of_different_causes_do_not_wait_for_each_other(stores: Stores) -> None:
    first, second = stores
    cause, other = await die(first, "Broken"), await die(first, "Lost")
    written, go_on = asyncio.Event(), asyncio.Event()

    def stand_still() -> None:
        written.set()
        await_only(go_on.wait())

    async with asyncio.timeout(DEADLINE_S):
        earlier = asyncio.create_task(begin(replayer(first, stand_still), cause))
        await written.wait()
        later = await begin(replayer(second), other)
        go_on.set()

    assert (later.state, (await earlier).state) == (State.RUNNING, State.RUNNING)
