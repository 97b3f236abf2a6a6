"""A quiet world for stories: one process, one foreign MES, and nothing fails unless told to."""

from asyncio import Future
from datetime import timedelta
from random import Random

from orderkeep.bridge.ports import Capabilities
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Delivered, Order
from orderkeep.orders.policy import Policy
from orderkeep.testing.faults import Faults, Odds
from orderkeep.testing.mes import LAG, SimMes
from orderkeep.testing.people import SENDER, Client
from orderkeep.testing.process import Ground, SimClock, SimIds, start
from orderkeep.testing.store import SimStore


class Town:
    """One process, one foreign MES, the people of a story; nothing fails unless it is told to."""

    def __init__(self, idempotency: str = "none") -> None:
        chance = Random(0)
        self.faults = Faults(chance, [], [], None, Odds())
        self.clock, self.store, self.policy = SimClock(), SimStore(), Policy()
        ways = Capabilities(idempotency, True, True, True, LAG)
        self.mes = SimMes(chance, self.faults, self.clock.truly, self._never, ways)
        self.store.raw.execute(
            "INSERT INTO partners (id, name, created_at) VALUES ('partner', 'P', 0)"
        )
        ids = SimIds(chance)
        ground = Ground(
            self.store, self.clock, ids, self.faults, self.policy, self.mes, None, True, self._never
        )
        self.process = start(ground, "one")

    async def submit(self) -> OrderNo:
        """An order that has just been taken."""
        client = Client("ref-1", "key-1")
        accepted = await self.process.intake.accept(SENDER, client.key, client.body())
        return accepted.order_no

    async def order(self) -> OrderNo:
        """An approved order, about to be sent."""
        no = await self.submit()
        for name in ("relay", "inbox quoting", "price", "relay", "inbox bridge"):
            await self.process.steps[name]()
        return no

    async def later(self, by: timedelta = LAG + timedelta(seconds=3)) -> None:
        """Time passes, and the bridge does what is due."""
        self.clock.true += by
        await self.process.steps["send"]()

    def see(self, no: OrderNo) -> Order:
        """The order as it is now."""
        return self.store.read_now(lambda work: rebuild(work.orders.history(no)))

    def delivered(self, no: OrderNo) -> Delivered | None:
        """How far its work order is on its way."""
        work = self.see(no).work_order
        return work.delivered if work else None

    @staticmethod
    def _never() -> "Future[None]":
        raise AssertionError("nothing is slow in this story")
