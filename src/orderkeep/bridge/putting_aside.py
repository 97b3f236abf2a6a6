"""A work order that always fails here waits for a person, and stops no other."""

import msgspec

from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.telling import DESTINATION, Teller, change, unread
from orderkeep.bridge.tray import UNREADABLE, Unknown
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Unavailable, Uncertain
from orderkeep.kernel.store import Store
from orderkeep.orders.order import Delivered


class PuttingAside:
    """Marks work orders of ``holder`` as diverged: what is at the MES is not known any more."""

    def __init__(self, store: Store[BridgeWork], teller: Teller, clock: Clock, holder: str) -> None:
        self._store = store
        self._teller = teller
        self._clock = clock
        self._holder = holder

    async def put_aside(self, row: Delivery, why: str) -> None:
        """Let it wait for a person: on its order, or in the tray if that takes nothing."""
        try:
            await self._store.write(lambda work: self._on_its_order(work, row, why))
        except (Conflict, Unavailable, Uncertain):
            raise
        except Exception:  # noqa: BLE001  # Whatever it is, it is what stopped the row as well.
            await self._store.write(lambda work: self._in_the_tray(work, row, why))

    def _on_its_order(self, work: BridgeWork, row: Delivery, why: str) -> None:
        if self._stop(work, row, why):
            diverged = change(row.reference, Delivered.DIVERGED, why)
            self._teller.tell(work, row.order_no, diverged)

    def _in_the_tray(self, work: BridgeWork, row: Delivery, why: str) -> None:
        if self._stop(work, row, why):
            named = {"order_no": row.order_no, "reference": row.reference}
            body = msgspec.json.encode(named)
            work.tray.keep(Unknown(DESTINATION, f"{UNREADABLE}: {why}", body), self._clock.now())

    def _stop(self, work: BridgeWork, row: Delivery, why: str) -> bool:
        """Whether it was ours to stop: as it is now, which may be after our intent to send it."""
        now, found = self._clock.now(), work.deliveries.get(DESTINATION, row.reference)
        if found is None or found.holder not in {None, self._holder}:
            return False
        work.deliveries.change(
            found,
            state=Delivered.DIVERGED,
            since=now,
            detail=why,
            holder=None,
            next_at=None,
            **unread(found),
        )
        return True
