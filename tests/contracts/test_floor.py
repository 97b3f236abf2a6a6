"""On every store: an order is cancelled or its parcel leaves, never both."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.floor.work_order import Job, StepRefused
from orderkeep.floor.workshop import Workshop
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import Ids, OrderNo
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Delivered, Order, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.testing.clock import TestClock
from orderkeep.testing.orders import BRIDGE, ENGINE, HEAD, MES, SELLER
from orderkeep.testing.stores import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class House:
    """Orders on the way out of a workshop."""

    def __init__(self, store: Store) -> None:
        clock = TestClock(NOON)
        self.store, self.policy = store, Policy()
        self.master = OrderMaster(store, clock, Ids(), self.policy)
        self.workshop = Workshop(store, clock, Ids())
        self._submissions = Submissions()

    async def queued(self) -> str:
        """The work order of an approved piece that nobody has begun."""
        lane = self.store.accepting(self.policy)
        no = (await lane.accept(self._submissions.next())).order_no
        await self.tell(no, c.RecordPrice(1, Money(Decimal(90), "EUR"), [], "book"), ENGINE)
        await self.tell(no, c.ApproveOrder())
        # Approved just above, so it has a work order.
        reference = (await self.order(no)).work_order.reference  # type: ignore[union-attr]
        for state in (Delivered.SENDING, Delivered.CONFIRMED):
            await self.tell(no, c.RecordDelivery("mes", reference, state), BRIDGE)
        await self.workshop.take_in(_queued(reference, no), "")
        return reference

    async def packed(self) -> str:
        """The work order of a packed piece whose order somebody asks to cancel."""
        reference = await self.queued()
        no = (await self.job(reference)).order_no
        for action, word in (("start", "started"), ("done", "completed"), ("pack", "packaging")):
            await self.workshop.act(reference, action, "oleg")
            await self.tell(no, c.RecordMesWord("mes", reference, word, operator="oleg"), MES)
        await self.tell(no, c.CancelOrder("changed mind"))
        return reference

    async def tell(self, no: OrderNo, command: c.OrderCommand, actor: Actor = SELLER) -> None:
        await self.master.handle(no, command, Cause(actor, "test", "test", ""))

    async def ship(self, reference: str) -> str:
        return (await self.workshop.act(reference, "ship", "oleg", tracking_no="T1")).status

    async def cancel(self, reference: str) -> str:
        no = (await self.job(reference)).order_no
        cause, command = Cause(HEAD, "test", "test", ""), c.CancelAnyway("scrap it")
        return (await self.workshop.cancel_anyway(self.master, no, command, cause)).order.stage

    async def order(self, no: OrderNo) -> Order:
        return rebuild(await self.store.read(lambda work: work.orders.history(no)))

    async def job(self, reference: str) -> Job:
        found = await self.workshop.find(reference)
        assert found
        return found


def _queued(reference: str, no: OrderNo) -> Job:
    return Job(reference, no, "b" * 64, [], None, "queued", NOON, 1, None, NOON)


@pytest.fixture
def house(store: Store, runner: asyncio.Runner) -> House:
    runner.run(store.write(add_partner))
    return House(store)


async def test_a_parcel_that_has_left_keeps_its_order_from_being_cancelled(house: House) -> None:
    """Also while its word is still on its way to the order."""
    reference = await house.packed()
    await house.ship(reference)

    with pytest.raises(TransitionRefused, match="The parcel has left already"):
        await house.cancel(reference)


async def test_a_parcel_of_a_cancelled_order_stays(house: House) -> None:
    """Also while the floor has not heard of it."""
    reference = await house.packed()
    await house.cancel(reference)

    with pytest.raises(StepRefused, match="The order is cancelled"):
        await house.ship(reference)

    assert (await house.workshop.act(reference, "scrap", "oleg")).status == "scrapped"


async def test_of_shipping_and_cancelling_at_once_one_is_refused(house: House) -> None:
    for _ in range(20):
        reference = await house.packed()

        ended = await asyncio.gather(
            house.ship(reference), house.cancel(reference), return_exceptions=True
        )

        refused = [one for one in ended if isinstance(one, Refused)]
        assert len(refused) == 1, ended
        stage = (await house.order((await house.job(reference)).order_no)).stage
        shipped = (await house.job(reference)).status == "shipped"
        assert shipped is (stage is not Stage.CANCELLED)


async def test_of_starting_and_recalling_at_once_one_is_refused(house: House) -> None:
    """The bridge takes a work order back while an operator begins it: who is second is told."""
    for _ in range(20):
        reference = await house.queued()

        ended = await asyncio.gather(
            house.workshop.act(reference, "recall"),
            house.workshop.act(reference, "start", "oleg"),
            return_exceptions=True,
        )

        assert len([one for one in ended if isinstance(one, StepRefused)]) == 1, ended
