"""Writes down what became of a work order: in its row and in its order, in one commit."""

from datetime import datetime, timedelta
from typing import Any

from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.telling import Teller, change, known_state
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.orders.master import Loaded
from orderkeep.orders.order import Delivered


class Outcomes:
    """Settles rows; ``poll`` after a confirmation somebody asks how far the MES has come."""

    def __init__(
        self, store: Store[BridgeWork], teller: Teller, clock: Clock, poll: timedelta
    ) -> None:
        self._store = store
        self._teller = teller
        self._clock = clock
        self._poll = poll

    async def settle(
        self,
        row: Delivery,
        state: Delivered,
        detail: str | None,
        *,
        next_at: datetime | None,
        loaded: Loaded | None = None,
        **columns: Any,
    ) -> None:
        """Write an outcome down; ``loaded`` is the order as whoever sent it has written it."""
        now = self._clock.now()
        if state is Delivered.UNCERTAIN:
            columns["last_sent_at"] = now  # Whatever carried it is surely over by now.

        def settle(work: BridgeWork) -> None:
            command = change(row.reference, state, detail, columns.get("mes_id"))
            order = self._teller.tell(work, row.order_no, command, loaded=loaded).order
            # The MES's own word may have overtaken this outcome: the order knows better then.
            known = known_state(order, row.reference) or state
            due = next_at if known is state else now  # What is next depends on what it is.
            work.deliveries.change(
                row, state=known, since=now, detail=detail, holder=None, next_at=due, **columns
            )

        await self._store.write(settle)

    async def confirmed(self, row: Delivery, job: MesJob, loaded: Loaded | None = None) -> None:
        """The MES has it."""
        asked_at = self._clock.now() + self._poll
        await self.settle(
            row, Delivered.CONFIRMED, None, next_at=asked_at, loaded=loaded, mes_id=job.mes_id
        )

    async def postpone(self, row: Delivery, until: datetime | None) -> None:
        """Nothing was found out; None when only a person can go on."""
        await self._store.write(lambda work: work.deliveries.change(row, next_at=until))
