"""What the bridge writes into an order: how its work order gets on, and what was said of it."""

from typing import Any

from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders.commands import OrderCommand, RecordDelivery, RecordMesWord
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import Handled, Loaded, OrderMaster
from orderkeep.orders.order import Delivered, Order

DESTINATION = "mes"


class Teller:
    """Tells the order master, in the unit of work that changes the delivery's row."""

    def __init__(self, master: OrderMaster, clock: Clock) -> None:
        self.master = master
        self._clock = clock

    def tell(
        self,
        work: BridgeWork,
        no: OrderNo,
        command: OrderCommand,
        trace_id: str = "",
        loaded: Loaded | None = None,
    ) -> Handled:
        """Have the order take a command of the bridge's.

        ``loaded`` is the order as a unit of ours has read or written it, if one has.
        """
        actor = Actor(ActorKind.BRIDGE, DESTINATION)
        cause = Cause(actor, type(command).__name__, "bridge", trace_id)
        order = self.master.again(work, loaded) if loaded else self.master.load(work, no)
        return self.master.apply_to(work, order, command, cause, self._clock.now())

    def hear(self, work: BridgeWork, no: OrderNo, said: RecordMesWord) -> Handled:
        """Have the order take what a MES says, or a person on our own floor: it is their doing."""
        actor = Actor(ActorKind.MES, said.operator or said.system)
        cause = Cause(actor, type(said).__name__, said.system, "")
        order = self.master.load(work, no)
        return self.master.apply_to(work, order, said, cause, self._clock.now())


def change(
    reference: WorkOrderRef, state: Delivered, detail: str | None, mes_id: str | None = None
) -> RecordDelivery:
    """The command that says how far a work order has come."""
    return RecordDelivery(DESTINATION, reference, state, detail, mes_id)


def unread(row: Delivery) -> dict[str, Any]:
    """Whoever read the row before has to read it again: what they make of it is out of date."""
    return {"lease_token": row.lease_token + 1}


def is_current(order: Order, reference: str) -> bool:
    """Whether a reference is that of the order's present work order."""
    return order.work_order is not None and order.work_order.reference == reference


def known_state(order: Order, reference: str) -> Delivered | None:
    """How far the order knows a work order to have come, if that is its present one."""
    work = order.work_order
    return work.delivered if work and work.reference == reference else None
