"""What is kept where it is handled: effect and mark are in the commit of the envelope itself."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.inbox import A_FEW, InboxWorker
from orderkeep.delivery.ports import Received
from orderkeep.delivery.relay import Relay
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.observe.traffic import Passed
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONSUMER = "quoting"


def an_envelope(name: str, order_key: str = "a") -> Envelope:
    return Envelope(EnvelopeId(name), "price.wanted", 1, order_key, NOON, "0" * 32, b"{}")


class Desk:
    """A consumer whose effect is an envelope of its own; it cannot stand some orders."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.worker = InboxWorker(store, CONSUMER, self._handle, TestClock(NOON))
        self.refused: set[str] = set()

    def _handle(self, work: SqlWork, received: Received, now: datetime) -> None:
        one = received.envelope
        if one.order_key in self.refused:
            raise ZeroDivisionError
        work.outbox.post([an_envelope(f"effect of {one.id}", one.order_key)])

    async def keep(self, *envelopes: Envelope) -> int:
        return await self.worker.keep(_receiving(envelopes), envelopes)

    def relay(self) -> Relay:
        transport = EmbeddedTransport(self._store, {"price.wanted": (CONSUMER,)}, TestClock(NOON))
        transport.hand_over({CONSUMER: self.worker}, alone=False)
        return Relay(self._store, transport, TestClock(NOON))

    async def effects(self) -> list[str]:
        sql = "SELECT id FROM outbox ORDER BY row"
        found = await self._store.read(lambda work: work.raw.execute(sql).fetchall())
        return [row[0].removeprefix("effect of ") for row in found]

    async def due(self) -> list[str]:
        rows = await self._store.read(lambda work: work.inbox.due(CONSUMER, NOON, 100))
        return [row.envelope.id for row in rows]


def _receiving(envelopes: Sequence[Envelope]) -> Callable[[SqlWork], int]:
    return lambda work: work.inbox.receive(CONSUMER, envelopes, NOON)


async def test_what_comes_is_handled_in_the_commit_that_keeps_it(store: Store) -> None:
    desk = Desk(store)

    assert await desk.keep(an_envelope("a1"), an_envelope("b1", "b")) == 2

    assert sorted(await desk.effects()) == ["a1", "b1"]
    assert await desk.due() == []
    assert desk.worker.traffic.total(Passed.HANDLED) == 2


async def test_what_comes_again_has_no_second_effect(store: Store) -> None:
    desk = Desk(store)
    await desk.keep(an_envelope("a1"))

    assert await desk.keep(an_envelope("a1")) == 0
    assert await desk.keep(an_envelope("a1"), an_envelope("a2")) == 1

    assert await desk.effects() == ["a1", "a2"]


async def test_what_cannot_be_handled_is_kept_with_all_that_came_with_it(store: Store) -> None:
    desk = Desk(store)
    desk.refused.add("a")

    assert await desk.keep(an_envelope("a1"), an_envelope("b1", "b")) == 2

    assert await desk.effects() == []
    assert await desk.due() == ["a1", "b1"]


async def test_no_envelope_overtakes_an_older_one_of_its_order(store: Store) -> None:
    desk = Desk(store)
    desk.refused.add("a")
    await desk.keep(an_envelope("a1"))
    desk.refused.clear()

    await desk.keep(an_envelope("a2"), an_envelope("a3"))
    assert await desk.effects() == []
    for _ in range(3):
        await desk.worker.step()

    assert await desk.effects() == ["a1", "a2", "a3"]


async def test_of_two_that_come_together_for_one_order_the_second_has_its_turn_later(
    store: Store,
) -> None:
    desk = Desk(store)

    await desk.keep(an_envelope("a1"), an_envelope("a2"))

    assert await desk.effects() == ["a1"]
    assert await desk.due() == ["a2"]


async def test_without_a_broker_effect_and_carrying_are_one_commit(store: Store) -> None:
    desk = Desk(store)
    await store.write(lambda work: work.outbox.post([an_envelope("a1"), an_envelope("b1", "b")]))

    assert await desk.relay().step() == 2

    assert sorted(await desk.effects()) == ["a1", "a1", "b1", "b1"]
    assert await desk.due() == []
    unsent = "SELECT id FROM outbox WHERE sent_at IS NULL ORDER BY id"
    found = await store.read(lambda work: work.raw.execute(unsent).fetchall())
    assert [row[0] for row in found] == ["effect of a1", "effect of b1"]


async def test_what_cannot_be_handled_is_carried_all_the_same(store: Store) -> None:
    desk = Desk(store)
    desk.refused.add("a")
    await store.write(lambda work: work.outbox.post([an_envelope("a1"), an_envelope("b1", "b")]))

    assert await desk.relay().step() == 2

    assert await desk.due() == ["a1", "b1"]
    assert await desk.worker.step() == 2
    assert await desk.due() == []  # One is done, the other rests until it is tried again.
    assert desk.worker.traffic.total(Passed.FAILED) == 1


async def test_many_are_kept_first_and_handled_by_and_by(store: Store) -> None:
    desk = Desk(store)
    many = [an_envelope(f"e{n:02}", f"order-{n}") for n in range(A_FEW + 1)]

    assert await desk.keep(*many) == len(many)

    assert await desk.effects() == []
    assert await desk.worker.step() == len(many)
    assert sorted(await desk.effects()) == [one.id for one in many]
