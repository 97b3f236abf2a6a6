"""Whoever has lost what it held cannot write about it any more: every later write names its lease.

One process holds everything on SQLite, so no history of the simulated world can lose a lease to
another; here two holders meet.
"""

from datetime import timedelta

import pytest

from orderkeep.bridge.work import LeaseLost
from orderkeep.orders.order import Delivered
from orderkeep.testing.process import NOON
from orderkeep.testing.store import SimStore
from orderkeep.testing.town import Town

LATER = NOON + timedelta(hours=1)


async def test_a_sender_that_overslept_cannot_write_its_outcome() -> None:
    town = Town()
    no = await town.order()
    store: SimStore = town.store
    [row] = store.read_now(lambda work: work.deliveries.due("mes", LATER, 10))
    overslept = store.write_now(lambda work: work.deliveries.take(row, "one", NOON))
    store.write_now(lambda work: work.deliveries.take(overslept, "two", NOON))

    with pytest.raises(LeaseLost):
        store.write_now(lambda work: work.deliveries.change(overslept, state=Delivered.CONFIRMED))

    held = store.read_now(lambda work: work.deliveries.get("mes", no))
    assert held is not None
    assert (held.state, held.holder) == (Delivered.SENDING, "two")


async def test_a_relay_that_overslept_cannot_mark_what_another_carries() -> None:
    town = Town()
    await town.submit()
    store = town.store
    first = store.write_now(lambda work: work.outbox.lease(NOON, LATER, 10))
    again = store.write_now(lambda work: work.outbox.lease(LATER, LATER + timedelta(hours=1), 10))

    assert store.write_now(lambda work: work.outbox.sent(first, LATER)) == 0
    assert store.write_now(lambda work: work.outbox.sent(again, LATER)) == 1


async def test_a_quoter_that_overslept_cannot_answer_for_another() -> None:
    town = Town()
    await town.submit()
    for name in ("relay", "inbox quoting"):
        await town.process.steps[name]()
    store = town.store
    [first] = store.write_now(lambda work: work.price_jobs.take(NOON, LATER, 1))
    [again] = store.write_now(lambda work: work.price_jobs.take(LATER, LATER + timedelta(1), 1))

    assert store.write_now(lambda work: work.price_jobs.done(first)) is False
    assert store.write_now(lambda work: work.price_jobs.done(again)) is True
