"""Sending dead letters again, on every store: step by step, once each, and stopped by itself."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from orderkeep.adapters.embedded import NOBODY, UNROUTED
from orderkeep.delivery.all_letters import all_letters
from orderkeep.delivery.dead_letters import (
    FOUR_EYES_ABOVE,
    FOUR_EYES_WITHIN,
    SETTLE_WITHIN,
    TREND_DAYS,
    Group,
    Item,
    Letter,
    LetterNotFound,
    ReplayRefused,
    Source,
    State,
    Verdict,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Received
from orderkeep.delivery.replay import Replayer
from orderkeep.kernel.errors import Fault, Invalid, Refused
from orderkeep.kernel.ids import EnvelopeId, Ids
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KIND = "price.wanted"
BOTH = "order.cancelled"
"""A kind that two consumers take."""


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
            {KIND: ("quoting",), BOTH: ("quoting", "floor")},
            lambda _, envelope: envelope.id in self.done,
            lambda one: [] if one.body == b"{}" else [Fault("/body", "x", "wrong")],
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
        found: list[Group] = await self.store.read(lambda work: work.dead_letters.groups(1000))
        return found

    async def letters(self) -> list[Letter]:
        return [one async for page in all_letters(self.store) for one in page]

    async def states(self, id_: str) -> list[Item]:
        found = await self.store.read(lambda work: work.dead_letters.entries(id_))
        return [one.state for one in found]

    async def state(self, id_: str) -> State:
        replay = await self.store.read(lambda work: work.dead_letters.replay(id_))
        found: State = replay.state
        return found


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


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


async def test_a_replay_goes_on_though_the_clock_was_set_back(scene: Scene) -> None:
    names = [f"m-{n}" for n in range(10)]
    await scene.die(*names)
    scene.broken.clear()
    scene.time += timedelta(days=365)
    await begun(scene)
    await scene.go()

    scene.time = NOON
    await scene.go(8)

    assert sorted(scene.effects) == sorted(names)


async def test_a_replay_stops_though_the_clock_was_set_back(scene: Scene) -> None:
    """A letter that dies is news, whatever instant it was sent at."""
    await scene.die(*[f"m-{n}" for n in range(60)])
    scene.time += timedelta(days=365)
    id_ = await begun(scene)

    scene.time = NOON
    await scene.go(8)

    assert await scene.state(id_) is State.STOPPED
    assert (await scene.states(id_)).count(Item.WAITING) == 59


async def test_what_died_before_it_was_resumed_stops_it_no_more(scene: Scene) -> None:
    await scene.die("a", "b")
    id_ = await begun(scene)
    await scene.replayer.step()
    await scene.replayer.stop(id_, "vera", "the cause is not mended at all")
    await scene.handle()

    scene.broken.clear()
    await scene.replayer.resume(id_, "vera", "mended now")
    await scene.go(4)

    assert await scene.states(id_) == [Item.DIED, Item.HANDLED]
    assert await scene.state(id_) is State.DONE


async def test_what_does_not_end_stops_a_resumed_replay_too(scene: Scene) -> None:
    await scene.die("a", "b")
    id_ = await begun(scene)
    await scene.replayer.step()
    scene.time += SETTLE_WITHIN + timedelta(minutes=1)
    await scene.replayer.step()
    assert await scene.state(id_) is State.STOPPED

    await scene.replayer.resume(id_, "vera", "its receiver is up again")
    await scene.replayer.step()
    assert await scene.state(id_) is State.RUNNING
    scene.time += SETTLE_WITHIN + timedelta(minutes=1)
    await scene.replayer.step()

    assert await scene.state(id_) is State.STOPPED


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


async def test_many_small_replays_of_one_cause_need_a_second_person_as_one_large_does(
    scene: Scene,
) -> None:
    some = FOUR_EYES_ABOVE // 2 + 1
    await scene.die(*[f"m-{n}" for n in range(some)])
    scene.broken.clear()
    first = await begun(scene)
    await scene.go(10)
    assert await scene.state(first) is State.DONE

    await scene.die(*[f"n-{n}" for n in range(some)])
    scene.broken.clear()
    [group] = await scene.groups()
    told = await scene.store.read(lambda work: scene.replayer.preview(work, group.fingerprint))
    second = await begun(scene)

    assert told.second_person
    assert await scene.state(second) is State.WAITING


async def test_of_replays_of_one_cause_begun_at_once_only_what_the_limit_bears_goes_alone(
    scene: Scene,
) -> None:
    some = FOUR_EYES_ABOVE // 2 + 1
    await scene.die(*[f"m-{n}" for n in range(some)])

    begun_at_once = await asyncio.gather(*[begun(scene) for _ in range(4)])

    states = [await scene.state(id_) for id_ in begun_at_once]
    assert sorted(states) == sorted([State.RUNNING, *[State.WAITING] * 3])


@pytest.mark.parametrize("given_up", [False, True])
async def test_replays_of_yesterday_and_those_given_up_are_not_counted_with_todays(
    scene: Scene, *, given_up: bool
) -> None:
    some = FOUR_EYES_ABOVE // 2 + 1
    await scene.die(*[f"m-{n}" for n in range(some)])
    scene.broken.clear()
    first = await begun(scene)
    if given_up:
        await scene.replayer.cancel(first, "vera", "not yet")
    else:
        await scene.go(10)
        scene.time += FOUR_EYES_WITHIN
        await scene.die(*[f"n-{n}" for n in range(some)])
        scene.broken.clear()

    assert await scene.state(await begun(scene)) is State.RUNNING


async def test_an_edited_letter_is_checked_kept_and_approved(scene: Scene) -> None:
    await scene.die("a")
    scene.broken.clear()
    [letter] = await scene.letters()
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
    [letter] = await scene.letters()
    why = await scene.store.read(lambda work: work.dead_letters.parking(letter))
    assert (why.by, why.why) == ("vera", "an old order")
    await scene.replayer.park(group.fingerprint, 10**9, "vera", "", back=True)
    assert [one.parked for one in await scene.groups()] == [False]
    assert await scene.store.read(lambda work: work.dead_letters.parking(letter)) is None


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


BAD = b"no envelope"
MENDED = b'{"kind": "price.wanted", "schema_version": 1, "order_key": "OK-000013", "body": {}}'


async def aside(scene: Scene, message_id: str | None = "q") -> tuple[str, int]:
    """A message that could not be read; its group and row."""

    def put(work: Any) -> None:
        work.inbox.set_aside("quoting", message_id, BAD, "a header is missing", NOON)

    await scene.store.write(put)
    [letter] = await scene.letters()
    return letter.fingerprint, letter.row


async def test_what_could_not_be_read_is_sent_once_it_is_mended(scene: Scene) -> None:
    group, row = await aside(scene)

    replay = await scene.replayer.begin(group, row, 60, "vera", "a header", (row, MENDED))
    assert replay.state is State.WAITING  # An edited letter always needs a second person.
    await scene.go()
    assert scene.effects == []
    await scene.replayer.approve(replay.id, "boris")
    await scene.go(3)

    assert scene.effects == ["q"]  # Under its own id: a repeat of it is known.
    assert await scene.state(replay.id) is State.DONE
    assert await scene.groups() == []
    [entry] = await scene.store.read(lambda work: work.dead_letters.entries(replay.id))
    assert (entry.body_before, entry.body_after, entry.state) == (BAD, MENDED, Item.HANDLED)


async def test_a_known_id_with_another_body_is_sent_under_a_new_one(scene: Scene) -> None:
    await scene.die("q")
    scene.broken.clear()
    await begun(scene)
    await scene.go(3)
    group, row = await aside(scene, "q")

    replay = await scene.replayer.begin(group, row, 60, "vera", "another", (row, MENDED))
    await scene.replayer.approve(replay.id, "boris")
    await scene.go(3)

    assert scene.effects[0] == "q"
    assert len(set(scene.effects)) == 2


async def test_what_was_sent_well_meanwhile_is_not_sent_mended(scene: Scene) -> None:
    group, row = await aside(scene)
    replay = await scene.replayer.begin(group, row, 60, "vera", "a header", (row, MENDED))
    await scene.replayer.approve(replay.id, "boris")
    scene.broken.clear()
    envelope = Envelope(EnvelopeId("q"), KIND, 1, "OK-000013", NOON, "0" * 32, b"{}")
    await scene.store.write(lambda work: work.inbox.receive("quoting", [envelope], NOON))

    await scene.go(3)

    assert scene.effects == ["q"]
    assert await scene.states(replay.id) == [Item.SKIPPED]


@pytest.mark.parametrize(
    "text, pointer",
    [
        (b"{", ""),
        (MENDED.replace(b'"order_key": "OK-000013", ', b""), ""),
        (MENDED.replace(b"OK-000013", b""), "/order_key"),
        (MENDED.replace(b"price.wanted", b"price.asked"), "/kind"),
        (MENDED.replace(b"{}", b'{"x": 1}'), "/body"),
    ],
)
async def test_what_is_still_no_envelope_is_not_sent(
    scene: Scene, text: bytes, pointer: str
) -> None:
    group, row = await aside(scene)

    with pytest.raises(Invalid) as refused:
        await scene.replayer.begin(group, row, 60, "vera", "a header", (row, text))

    assert [one.pointer for one in refused.value.faults] == [pointer]
    assert len(await scene.groups()) == 1


async def test_what_dies_mended_is_a_dead_letter_and_stops_its_replay(scene: Scene) -> None:
    group, row = await aside(scene)
    scene.broken.add("q")
    replay = await scene.replayer.begin(group, row, 60, "vera", "a header", (row, MENDED))
    await scene.replayer.approve(replay.id, "boris")

    await scene.go(3)

    assert await scene.state(replay.id) is State.STOPPED
    [died] = await scene.groups()
    assert (died.source, died.count) == (Source.INBOX, 1)


async def test_letters_are_counted_by_consumer_without_those_that_are_parked(scene: Scene) -> None:
    await aside(scene)
    await scene.die("a", "b")

    def waiting(work: Any) -> dict[str, int]:
        return dict(work.dead_letters.waiting())

    assert await scene.store.read(waiting) == {"quoting": 3}
    for group in await scene.groups():
        await scene.replayer.park(group.fingerprint, 10**9, "vera", "old")
    assert await scene.store.read(waiting) == {}


async def test_what_will_be_tried_again_by_itself_is_no_dead_letter_and_is_shown(
    scene: Scene,
) -> None:
    envelope = Envelope(EnvelopeId("a"), KIND, 1, "OK-000013", NOON, "0" * 32, b"{}")

    def fail(work: Any) -> None:
        work.inbox.receive("quoting", [envelope], NOON)
        [received] = work.inbox.due("quoting", NOON, 1)
        work.inbox.retry(received.row, NOON + timedelta(minutes=1), "StoreBusy")

    await scene.store.write(fail)

    [shown] = await scene.store.read(lambda work: work.dead_letters.retrying(10))
    assert (shown.order_key, shown.attempts, shown.why) == ("OK-000013", 1, "StoreBusy")
    assert shown.next_at == NOON + timedelta(minutes=1)
    assert await scene.groups() == []
    scene.time = NOON + timedelta(minutes=2)
    await scene.handle()
    assert await scene.store.read(lambda work: work.dead_letters.retrying(10)) == []


async def test_a_note_stays_until_another_takes_its_place(scene: Scene) -> None:
    await scene.die("a")
    [group] = await scene.groups()

    await scene.replayer.note(group.fingerprint, "vera", "asked the shop", "vera")
    await scene.replayer.note(group.fingerprint, "boris", "mended on Monday", "vera")

    notes = await scene.store.read(lambda work: work.dead_letters.notes())
    known = notes[group.fingerprint]
    assert (known.owner, known.note, known.by) == ("boris", "mended on Monday", "vera")
    assert scene.audit.count(("vera", "dead_letters.note")) == 2
    with pytest.raises(LetterNotFound):
        await scene.replayer.note("0" * 16, "vera", "", "vera")


async def test_the_release_that_mends_a_cause_stays_with_its_group_and_its_replay(
    scene: Scene,
) -> None:
    await scene.die("a")
    [group] = await scene.groups()

    await scene.replayer.note(group.fingerprint, "vera", "mended", "vera", "2026.11")
    id_ = await begun(scene, release="2026.11")

    notes = await scene.store.read(lambda work: work.dead_letters.notes())
    replay = await scene.store.read(lambda work: work.dead_letters.replay(id_))
    assert notes[group.fingerprint].release == replay.release == "2026.11"
    assert replay.trail[0].why == "mended (release 2026.11)"


async def test_a_letter_is_sent_to_another_who_takes_its_kind(scene: Scene) -> None:
    await scene.die("a", kind=BOTH)
    [group] = await scene.groups()
    [letter] = await scene.letters()
    assert scene.replayer.sending.others(letter) == ["floor"]

    replay = await scene.replayer.begin(
        group.fingerprint, letter.row, 60, "vera", "the floor has it", to="floor"
    )
    assert replay.state is State.WAITING  # Who should have had it will not get it: two persons.
    await scene.replayer.approve(replay.id, "boris")
    await scene.go()

    assert scene.effects == []
    assert await scene.groups() == []
    assert await scene.store.read(lambda work: work.inbox.holds("floor", [EnvelopeId("a")]))


async def test_a_letter_goes_to_nobody_who_has_it_or_does_not_take_it(scene: Scene) -> None:
    await scene.die("a", kind=BOTH)
    [group] = await scene.groups()

    async def verdicts(to: str) -> Any:
        told = await scene.store.read(
            lambda work: scene.replayer.preview(work, group.fingerprint, to=to)
        )
        return told.verdicts

    assert await verdicts("floor") == {Verdict.SEND: 1}
    assert await verdicts("bridge") == {Verdict.NOWHERE: 1}
    assert await verdicts("quoting") == {Verdict.NOWHERE: 1}
    await scene.die("a", kind=BOTH, consumer="floor")
    assert await verdicts("floor") == {Verdict.DONE: 1}


async def test_how_a_replay_ended_is_acknowledged_once(scene: Scene) -> None:
    await scene.die("a")
    id_ = await begun(scene)
    with pytest.raises(ReplayRefused):
        await scene.replayer.acknowledge(id_, "boris")
    scene.broken.clear()
    await scene.go(3)

    seen = await scene.replayer.acknowledge(id_, "boris")

    assert (seen.seen_by, seen.trail[-1].what) == ("boris", "acknowledged")
    with pytest.raises(ReplayRefused):
        await scene.replayer.acknowledge(id_, "vera")


async def put_down(scene: Scene, rows: Sequence[tuple[str, str, str, timedelta]]) -> None:
    """Letters by id, order, cause, and how long ago they died; some are parked, some came back."""

    def put(work: Any) -> None:
        for name, order, why, ago in rows:
            envelope = Envelope(EnvelopeId(name), KIND, 1, order, NOON, "0" * 32, b"{}")
            work.inbox.receive("quoting", [envelope], NOON - ago)
            work.inbox.bury("quoting", EnvelopeId(name), NOON - ago, why)

    await scene.store.write(put)


async def test_a_trend_counts_the_days_before_now(scene: Scene) -> None:
    ages = (0, 23, 24, 13 * 24 + 23, 14 * 24, -5)
    rows = [(f"t-{n}", "OK-1", "why", timedelta(hours=hours)) for n, hours in enumerate(ages)]
    await put_down(scene, rows)

    found = await scene.store.read(lambda work: work.dead_letters.trend(NOON))

    [days] = found.values()
    assert (len(days), days[-1], days[-2], days[0], sum(days)) == (TREND_DAYS, 3, 1, 1, 5)


async def test_groups_count_every_letter_however_many_there_are(scene: Scene) -> None:
    many = 12_000  # more than any list holds
    rows = [
        (f"g-{n}", f"OK-{n % 700}", f"Broken: {'abc'[n % 3]} {n}", timedelta(minutes=n % 5000))
        for n in range(many)
    ]
    await put_down(scene, rows)

    found = await scene.groups()

    assert sum(one.count for one in found) == many
    for one in found:
        ours = [row for row in rows if row[2].split()[1] == one.cause.split()[1]]
        assert one.count == len(ours)
        assert one.orders == len({order for _, order, _, _ in ours})
        assert one.first_at == NOON - max(ago for *_, ago in ours)
        assert one.last_at == NOON - min(ago for *_, ago in ours)


async def test_what_is_parked_of_a_cause_is_a_group_by_itself(scene: Scene) -> None:
    await put_down(scene, [(f"p-{n}", f"OK-{n}", "why", timedelta(days=n)) for n in range(3)])
    [group] = await scene.groups()
    parked = await scene.replayer.park(group.fingerprint, group.newest - 1, "vera", "old")

    [still, aside] = sorted(await scene.groups(), key=lambda one: one.parked)

    def rows(work: Any) -> list[list[int]]:
        mine = work.dead_letters.members
        return [
            [one.row for one in mine(group.fingerprint, parked=is_parked, limit=10)]
            for is_parked in (False, True)
        ]

    assert (parked, still.count, aside.count) == (2, 1, 2)
    assert (still.parked, aside.parked) == (False, True)
    assert still.fingerprint == aside.fingerprint
    assert await scene.store.read(rows) == [
        [group.newest],
        [group.newest - 1, group.newest - 2],
    ]
    trend = await scene.store.read(lambda work: work.dead_letters.trend(NOON))
    assert {parked: sum(days) for (_, parked), days in trend.items()} == {False: 1, True: 2}
    taken_up = await scene.replayer.park(group.fingerprint, group.newest - 2, "vera", "", back=True)
    assert taken_up == 1
    assert sorted(one.count for one in await scene.groups()) == [1, 2]


async def test_a_replay_holds_the_oldest_of_a_long_group(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderkeep.delivery.replay.MOST", 3)
    names = [f"m-{n}" for n in range(5)]
    await scene.die(*names)
    scene.broken.clear()

    first = await begun(scene)
    await scene.go(6)

    # Letters of one step are of several orders, and handled at the same time.
    assert sorted(scene.effects) == names[:3]
    assert await scene.state(first) is State.DONE
    await begun(scene)
    await scene.go(6)
    assert sorted(scene.effects) == names


async def test_what_is_parked_meanwhile_is_not_sent(scene: Scene) -> None:
    await scene.die("a", "b")
    scene.broken.clear()
    id_ = await begun(scene)
    [group] = await scene.groups()
    await scene.replayer.park(group.fingerprint, group.newest, "boris", "the shop took it back")

    await scene.go(4)

    assert scene.effects == []
    assert await scene.states(id_) == [Item.SKIPPED, Item.SKIPPED]
    assert [one.parked for one in await scene.groups()] == [True]


async def test_how_often_a_letter_was_sent_again_is_told_once_it_dies_again(scene: Scene) -> None:
    await scene.die("a", "b")
    for _ in range(2):
        id_ = await begun(scene)
        await scene.go(3)
        await scene.replayer.cancel(id_, "vera", "not mended")

    [group] = await scene.groups()
    found = await scene.letters()

    assert (group.count, group.replayed) == (2, 2)
    assert {one.message_id: one.replays for one in found} == {"a": 2, "b": 0}


async def many(scene: Scene) -> None:
    """Seven letters of two causes that could not be handled, and three that could not be read."""
    rows = [(f"m-{n}", f"OK-{n}", "ab"[n % 2], timedelta(hours=n)) for n in range(7)]
    await put_down(scene, rows)

    def aside(work: Any) -> None:
        for n in range(3):
            work.inbox.set_aside("bridge", f"q-{n}", BAD, "a header is missing", NOON)

    await scene.store.write(aside)


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
async def test_every_letter_is_told_once_however_few_a_page_holds(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("orderkeep.delivery.all_letters.AT_ONCE", at_once)
    await many(scene)

    pages = [page async for page in all_letters(scene.store)]

    assert max(len(page) for page in pages) <= at_once
    told = [one.message_id for page in pages for one in page]
    assert told == [f"m-{n}" for n in reversed(range(7))] + [f"q-{n}" for n in reversed(range(3))]


async def test_a_group_is_told_whole_page_by_page_with_what_is_parked_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderkeep.delivery.all_letters.AT_ONCE", 2)
    await many(scene)
    [group] = [one for one in await scene.groups() if one.cause == "a"]
    await scene.replayer.park(group.fingerprint, group.newest - 1, "vera", "old")

    pages = all_letters(scene.store, group.fingerprint)
    told = [(one.message_id, one.parked) async for page in pages for one in page]

    assert told == [("m-6", False), ("m-4", True), ("m-2", True), ("m-0", True)]


async def test_a_page_is_read_only_when_it_is_asked_for_and_loses_nothing_that_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderkeep.delivery.all_letters.AT_ONCE", 2)
    await many(scene)
    pages = all_letters(scene.store)
    first = await anext(pages)

    for one in await scene.letters():
        if one.message_id in {"m-6", "m-2"}:
            await scene.store.write(partial(revived, one.row))
    rest = [one.message_id async for page in pages for one in page]

    assert [one.message_id for one in first] == ["m-6", "m-5"]
    assert rest == ["m-4", "m-3", "m-1", "m-0", "q-2", "q-1", "q-0"]


def revived(row: int, work: Any) -> None:
    assert work.dead_letters.revive(row, None, NOON)


async def unowned_since(scene: Scene) -> Any:
    return await scene.store.read(lambda work: work.dead_letters.unowned_since())


async def test_the_oldest_letter_that_is_nobodys_is_told(scene: Scene) -> None:
    assert await unowned_since(scene) is None
    await many(scene)
    old, newer = sorted(
        (one for one in await scene.groups() if one.source is Source.INBOX),
        key=lambda one: one.first_at,
    )

    assert await unowned_since(scene) == old.first_at
    await scene.replayer.note(old.fingerprint, "vera", "", "boris")
    assert await unowned_since(scene) == newer.first_at
    await scene.replayer.park(newer.fingerprint, newer.newest, "vera", "old")
    assert await unowned_since(scene) == NOON  # What could not be read.
    await scene.replayer.note(old.fingerprint, "", "she has left", "boris")
    assert await unowned_since(scene) == old.first_at
