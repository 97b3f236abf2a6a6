"""Sending dead letters again, on every store: step by step, once each, and stopped by itself."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orderkeep.adapters.embedded import NOBODY, UNROUTED
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.postgres import store as postgres_store
from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.delivery.dead_letters import (
    FOUR_EYES_ABOVE,
    Group,
    Item,
    ReplayRefused,
    State,
    Verdict,
    grouped,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Received
from orderkeep.delivery.replay import Replayer
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import Fault, Invalid, Refused
from orderkeep.kernel.ids import EnvelopeId, Ids
from orderkeep.testing.store import SimStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KIND = "price.wanted"
Store = SqliteStore | SimStore | PgStore


class Broken(Refused):
    """The receiver cannot handle it."""


class Scene:
    """One consumer whose handler can be broken, and whoever sends its dead letters again."""

    def __init__(self, store: Store) -> None:
        self.store: Any = store
        self.time = NOON
        self.broken: set[str] = set()
        self.done: set[str] = set()
        self.effects: list[str] = []
        self.audit: list[tuple[str, str]] = []
        self.worker: InboxWorker[Any] = InboxWorker(self.store, "quoting", self._handle, self)
        self.replayer = Replayer(
            self.store,
            {KIND: ("quoting",)},
            lambda _, envelope: envelope.id in self.done,
            lambda _kind, _version, body: [] if body == b"{}" else [Fault("/body", "x", "wrong")],
            lambda _work, _now, by, action, _subject, _why: self.audit.append((by, action)),
            self,
            Ids(),
        )

    def now(self) -> datetime:
        return self.time

    def _handle(self, _: Any, received: Received, now: datetime) -> None:
        if received.envelope.id in self.broken:
            raise Broken(f"position 7 of {received.envelope.order_key}")
        self.effects.append(received.envelope.id)

    async def die(self, *names: str, kind: str = KIND, consumer: str = "quoting") -> None:
        """Envelopes whose handling is refused."""
        self.broken |= set(names)
        envelopes = [
            Envelope(EnvelopeId(name), kind, 1, f"OK-{n:06d}", NOON, "0" * 32, b"{}")
            for n, name in enumerate(names)
        ]
        await self.store.write(lambda work: work.inbox.receive(consumer, envelopes, NOON))
        await self.handle()

    async def handle(self) -> None:
        """The consumer takes what is there."""
        while await self.worker.step():
            pass

    async def go(self, rounds: int = 1) -> None:
        """Replays are taken further, and what they send is handled."""
        for _ in range(rounds):
            await self.replayer.step()
            await self.handle()
            self.time += timedelta(minutes=2)

    async def groups(self) -> list[Group]:
        return grouped(await self.store.read(lambda work: work.dead_letters.letters(1000)))

    async def states(self, id_: str) -> list[Item]:
        found = await self.store.read(lambda work: work.dead_letters.entries(id_))
        return [one.state for one in found]

    async def state(self, id_: str) -> State:
        replay = await self.store.read(lambda work: work.dead_letters.replay(id_))
        found: State = replay.state
        return found


@pytest.fixture(params=["on disk", "in memory", "on PostgreSQL"])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner
) -> Iterator[Scene]:
    opened: Store
    if request.param == "in memory":
        opened = SimStore()
    elif request.param == "on disk":
        url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
        migrate(url)
        opened = open_store(url, Bells())
    else:
        address = request.getfixturevalue("postgres_url")
        opened = runner.run(postgres_store.open_store(address, Bells()))
    yield Scene(opened)
    runner.run(opened.close())


async def begun(scene: Scene, **more: Any) -> str:
    [group] = [one for one in await scene.groups() if not one.parked]
    told = await scene.store.read(lambda work: scene.replayer.preview(work, group.fingerprint))
    replay = await scene.replayer.begin(
        group.fingerprint, told.cutoff, 6000, "vera", "mended", **more
    )
    return replay.id


async def test_letters_with_one_cause_are_one_group(scene: Scene) -> None:
    await scene.die("a", "b", "c")

    [group] = await scene.groups()

    assert (group.count, group.orders, group.consumer, group.kind) == (3, 3, "quoting", KIND)
    assert group.cause == "Broken: position … of …"


async def test_a_mended_cause_lets_few_go_first_then_more(scene: Scene) -> None:
    names = [f"m-{n}" for n in range(10)]
    await scene.die(*names)
    scene.broken.clear()
    id_ = await begun(scene)

    counts = []
    for _ in range(8):
        await scene.go()
        counts.append(len(scene.effects))

    assert counts[:1] == [1]
    assert {1, 3, 8, 10} <= set(counts)
    assert sorted(scene.effects) == sorted(names)
    assert await scene.state(id_) is State.DONE
    assert await scene.groups() == []
    assert ("vera", "dead_letters.replay") in scene.audit


async def test_a_letter_that_dies_again_stops_the_replay(scene: Scene) -> None:
    await scene.die(*[f"m-{n}" for n in range(10)])
    id_ = await begun(scene)

    await scene.go(8)

    assert await scene.state(id_) is State.STOPPED
    assert (await scene.states(id_)).count(Item.WAITING) == 9
    assert scene.effects == []
    scene.broken.clear()
    await scene.replayer.resume(id_, "vera", "mended now")
    await scene.go(12)
    assert await scene.state(id_) is State.DONE
    assert len(scene.effects) == 9


async def test_what_is_done_already_is_not_sent(scene: Scene) -> None:
    await scene.die("a", "b")
    scene.broken.clear()
    scene.done.add("a")
    [group] = await scene.groups()

    told = await scene.store.read(lambda work: scene.replayer.preview(work, group.fingerprint))
    await begun(scene)
    await scene.go(5)

    assert told.verdicts == {Verdict.DONE: 1, Verdict.SEND: 1}
    assert scene.effects == ["b"]


async def test_what_dies_after_the_cut_off_is_in_no_replay(scene: Scene) -> None:
    await scene.die("a")
    id_ = await begun(scene)
    await scene.die("b")
    scene.broken.clear()

    await scene.go(5)

    assert scene.effects == ["a"]
    assert len(await scene.states(id_)) == 1


async def test_many_letters_need_a_second_person(scene: Scene) -> None:
    await scene.die(*[f"m-{n}" for n in range(FOUR_EYES_ABOVE + 1)])
    scene.broken.clear()
    id_ = await begun(scene)

    await scene.go(2)
    assert scene.effects == []
    with pytest.raises(ReplayRefused):
        await scene.replayer.approve(id_, "vera")
    await scene.replayer.approve(id_, "boris")
    await scene.go(2)

    assert scene.effects
    assert ("boris", "dead_letters.approved") in scene.audit


async def test_an_edited_letter_is_checked_kept_and_approved(scene: Scene) -> None:
    await scene.die("a")
    scene.broken.clear()
    [letter] = await scene.store.read(lambda work: work.dead_letters.letters(10))
    with pytest.raises(Invalid):
        await begun(scene, edit=(letter.row, b"wrong"))
    id_ = await begun(scene, edit=(letter.row, b"{}"))

    assert await scene.state(id_) is State.WAITING
    await scene.replayer.approve(id_, "boris")
    await scene.go(3)

    [entry] = await scene.store.read(lambda work: work.dead_letters.entries(id_))
    assert (entry.body_before, entry.body_after, entry.state) == (b"{}", b"{}", Item.HANDLED)


async def test_parked_letters_stand_apart_until_they_are_taken_up(scene: Scene) -> None:
    await scene.die("a")
    [group] = await scene.groups()
    await scene.replayer.park(group.fingerprint, 10**9, "vera", "an old order")

    assert [one.parked for one in await scene.groups()] == [True]
    await scene.replayer.park(group.fingerprint, 10**9, "vera", "", back=True)
    assert [one.parked for one in await scene.groups()] == [False]


async def test_what_nobody_took_goes_to_who_takes_it_now(scene: Scene) -> None:
    envelope = Envelope(EnvelopeId("n"), KIND, 1, "OK-000013", NOON, "0" * 32, b"{}")

    def put(work: Any) -> None:
        work.inbox.receive(NOBODY, [envelope], NOON)
        [received] = work.inbox.due(NOBODY, NOON, 1)
        work.inbox.park(received.row, NOON, UNROUTED)

    await scene.store.write(put)
    id_ = await begun(scene)
    await scene.go(3)

    assert scene.effects == ["n"]
    assert await scene.state(id_) is State.DONE


async def test_of_two_who_take_a_replay_further_one_does(scene: Scene) -> None:
    await scene.die(*[f"m-{n}" for n in range(6)])
    scene.broken.clear()
    id_ = await begun(scene)

    await asyncio.gather(scene.replayer.step(), scene.replayer.step())
    await scene.handle()

    assert len(scene.effects) == 1
    await scene.go(6)
    assert len(scene.effects) == 6
    assert await scene.state(id_) is State.DONE
