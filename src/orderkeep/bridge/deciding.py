"""A person settles what the machine cannot."""

from orderkeep.bridge import sentences as say
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.telling import DESTINATION, Teller, change, unread
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.events import Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Delivered, Order
from orderkeep.orders.refusals import TransitionRefused


class Deciding:
    """Takes decisions on work orders that wait for a person."""

    def __init__(self, store: Store[BridgeWork], teller: Teller, clock: Clock) -> None:
        self._store = store
        self._teller = teller
        self._clock = clock

    async def decide(
        self, no: OrderNo, decision: str, cause: Cause, mes_id: str | None = None
    ) -> Order:
        """Settle what the machine cannot: ``there``, ``send_again`` or ``give_up``.

        Raises:
            TransitionRefused: nothing waits for a person.
        """
        states = {
            "there": Delivered.CONFIRMED,
            "send_again": Delivered.PENDING,
            "give_up": Delivered.DEAD,
        }
        state, now = states[decision], self._clock.now()

        def settle(work: BridgeWork) -> Order:
            order = rebuild(work.orders.history(no))
            row = self._waiting(work, order)
            if row.holder is not None and state is Delivered.PENDING:
                # Stopped, not gone: what it holds would leave as a second one when it wakes.
                raise TransitionRefused(order, "delivery-decide", "Its sender may still send it.")
            next_at = None if state is Delivered.DEAD else now
            # Who says "send again" has seen that nothing of the earlier tries is there.
            sent_at = None if state is Delivered.PENDING else row.last_sent_at
            work.deliveries.change(
                row,
                state=state,
                since=now,
                next_at=next_at,
                absent_seen=0,
                mes_id=mes_id,
                last_sent_at=sent_at,
                **unread(row),
            )
            said = say.DECIDED_BY(by=cause.actor)
            command = change(row.reference, state, said, mes_id)
            work.wake("bridge")
            return self._teller.master.apply(work, no, command, cause, now).order

        return await self._store.write(settle)

    def _waiting(self, work: BridgeWork, order: Order) -> Delivery:
        stuck = {Delivered.UNCERTAIN, Delivered.REJECTED, Delivered.DEAD, Delivered.DIVERGED}
        row = order.work_order and work.deliveries.get(DESTINATION, order.work_order.reference)
        if not row or row.state not in stuck:
            raise TransitionRefused(order, "delivery-decide", "Nothing waits for a decision.")
        return row
