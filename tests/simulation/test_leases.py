"""Whoever has lost what it held cannot write about it any more: every later write names its lease.

One process holds everything on SQLite, so no history of the simulated world can lose a lease to
another; here two holders meet.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest

from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.takeover import BATCH, TakeOver
from orderkeep.bridge.telling import Teller, change
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.ids import WorkOrderRef
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


@dataclass
class Meanwhile:
    """Nobody is gone; while that is asked, something happens."""

    happens: Callable[[], object]
    holder: str = "two"
    is_seen: bool = True

    async def lost(self) -> None:
        raise AssertionError("nobody calls anybody")

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        self.happens()
        return set()


@dataclass
class Gone(Meanwhile):
    """Whoever is called so is gone, and everybody else lives."""

    happens: Callable[[], object] = lambda: None
    dead: str = "dead"

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        return {self.dead} & set(holders)


async def test_whoever_is_gone_is_taken_over_from_behind_all_that_others_hold() -> None:
    """The oldest rows were looked at and no others: a sender that hangs held them for ever."""
    town = Town()
    no = await town.order()
    store, teller = town.store, Teller(town.process.master, town.clock)
    [row] = store.read_now(lambda work: work.deliveries.due("mes", LATER, 10))
    store.write_now(lambda work: work.deliveries.change(row, next_at=None))

    def hold(work: BridgeWork, reference: str, holder: str, state: Delivered) -> None:
        at = NOON - timedelta(hours=holder != "dead")
        work.deliveries.want("mes", WorkOrderRef(reference), no, at)
        wanted = work.deliveries.get("mes", reference)
        assert wanted is not None
        taken = work.deliveries.take(wanted, holder, at)
        work.deliveries.change(taken, state=state)

    for n in range(BATCH):
        held = f"{no}/{n + 2}"
        store.write_now(partial(hold, reference=held, holder="two", state=Delivered.SENDING))
        hung = f"{no}/{n + 2 + BATCH}"
        store.write_now(partial(hold, reference=hung, holder="hung", state=Delivered.UNCERTAIN))
    last = f"{no}/{2 + 2 * BATCH}"
    store.write_now(partial(hold, reference=last, holder="dead", state=Delivered.SENDING))

    await TakeOver(store, teller, Gone(), town.clock, timedelta(days=1)).step()

    due = store.read_now(lambda work: work.deliveries.due("mes", LATER, 10))
    assert [one.reference for one in due] == [last]


@pytest.mark.parametrize("outcome", [Delivered.CONFIRMED, Delivered.PENDING])
async def test_a_slow_sender_that_has_written_its_outcome_is_not_suspected(
    outcome: Delivered,
) -> None:
    """The matrix's ``crm.before_send/SIGSTOP``: confirmed, and then uncertain in the bridge's row.

    It had been seen sending, wrote what came of it, and was then taken for one that does not move;
    its row was never due again.
    """
    town = Town()
    no = await town.order()
    store, teller = town.store, Teller(town.process.master, town.clock)
    [row] = store.read_now(lambda work: work.deliveries.due("mes", LATER, 10))

    def take(work: BridgeWork) -> Delivery:
        teller.tell(work, no, change(row.reference, Delivered.SENDING, None))
        return work.deliveries.take(row, "one", NOON - timedelta(hours=1))

    taken = store.write_now(take)

    def settle(work: BridgeWork) -> None:
        teller.tell(work, no, change(row.reference, outcome, None))
        work.deliveries.change(taken, state=outcome, holder=None, next_at=LATER)

    lives = Meanwhile(lambda: store.write_now(settle))
    await TakeOver(store, teller, lives, town.clock, timedelta(minutes=1)).step()

    held = store.read_now(lambda work: work.deliveries.get("mes", no))
    assert held is not None
    assert (held.state, held.next_at) == (outcome, LATER)
    assert town.delivered(no) is outcome


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
