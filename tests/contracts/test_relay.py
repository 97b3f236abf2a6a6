"""What a relay does when the store is away between two of its own steps."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.delivery.relay import LEASE, PAUSE, Relay, TransportAway
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

T = TypeVar("T")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def an_envelope(name: str, order_key: str = "a") -> Envelope:
    return Envelope(EnvelopeId(name), "price.wanted", 1, order_key, NOON, "0" * 32, b"{}")


class Leaving:
    """A store that is away when it is told so, as a server that starts anew."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    async def write(self, unit: Callable[[Any], T]) -> T:
        if self.away:
            raise StoreBusy("away", retry_after=timedelta(seconds=1))
        return await self._store.write(unit)

    async def read(self, query: Callable[[Any], T]) -> T:
        return await self._store.read(query)


class Carrying:
    """A transport; the store leaves while it carries for the first time."""

    def __init__(self, store: Leaving, clock: TestClock, *, is_away: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._is_first = True
        self.is_away = is_away
        self.carried: list[str] = []

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        self._store.away, self._is_first = self._is_first, False
        if self.is_away:
            raise TransportAway("away")
        self.carried += [one.id for one in envelopes]
        return [Tried(carried=True)] * len(envelopes)


async def test_what_could_not_be_marked_is_marked_before_anything_else(store: Store) -> None:
    """The order's next envelope would wait for the lease of what has long been carried."""
    leaving, clock = Leaving(store), TestClock(NOON)
    transport = Carrying(leaving, clock)
    relay = Relay(leaving, transport, clock)
    posted = [an_envelope("a1"), an_envelope("a2")]
    await store.write(lambda work: work.outbox.post(posted))
    with pytest.raises(StoreBusy):
        await relay.step()
    with pytest.raises(StoreBusy):
        await relay.step()  # Still away.

    leaving.away = False
    assert await relay.step() == 1

    assert transport.carried == ["a1", "a2"]


async def test_what_was_not_carried_is_free_after_its_rest_and_not_after_its_lease(
    store: Store,
) -> None:
    leaving, clock = Leaving(store), TestClock(NOON)
    transport = Carrying(leaving, clock, is_away=True)
    relay = Relay(leaving, transport, clock)
    await store.write(lambda work: work.outbox.post([an_envelope("a1")]))
    with pytest.raises(StoreBusy):
        await relay.step()

    leaving.away = transport.is_away = False
    assert await relay.step() == 0
    clock.advance(PAUSE)
    await relay.step()

    assert PAUSE < LEASE
    assert transport.carried == ["a1"]


async def test_a_late_mark_does_not_touch_what_another_relay_has_leased(store: Store) -> None:
    leaving, clock = Leaving(store), TestClock(NOON)
    relay = Relay(leaving, Carrying(leaving, clock, is_away=True), clock)
    await store.write(lambda work: work.outbox.post([an_envelope("a1")]))
    with pytest.raises(StoreBusy):
        await relay.step()
    clock.advance(LEASE)
    now, ends = clock.now(), clock.now() + LEASE
    [theirs] = await store.write(lambda work: work.outbox.lease(now, ends, 10))

    leaving.away = False
    clock.advance(PAUSE)
    assert await relay.step() == 0

    assert await store.write(lambda work: work.outbox.sent([theirs], now)) == 1
