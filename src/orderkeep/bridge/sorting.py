"""People work through the tray of unknown messages; the audit says who did what with which."""

from typing import Protocol

from orderkeep.access.ports import AccessStore
from orderkeep.bridge.tray import Kept, TrayState, TrayStore, UnknownChanged
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import AddNote
from orderkeep.orders.events import Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.ports import OrderWork


class SortingWork(OrderWork, Protocol):
    """A unit of work on the tray, an order and the audit."""

    @property
    def tray(self) -> TrayStore: ...

    @property
    def access(self) -> AccessStore: ...


class Sorting:
    """Gives a message to an order, puts it aside, or takes it up again."""

    def __init__(self, store: Store[SortingWork], master: OrderMaster, clock: Clock) -> None:
        self._store = store
        self._master = master
        self._clock = clock

    async def give(self, row: int, no: OrderNo, cause: Cause, note: str) -> Kept:
        """Write a note into an order; what the message itself says stays in the tray.

        Raises:
            UnknownNotFound, OrderNotFound: there is none.
            UnknownChanged: somebody has dealt with it meanwhile.
        """

        def give(work: SortingWork) -> Kept:
            kept = self._settle(work, row, TrayState.OPEN, TrayState.GIVEN, cause, note, no)
            # Only the person's words: whatever the message holds may be personal, and notes stay.
            text = AddNote(f"{note} ({kept.source} #{row})")
            self._master.apply(work, no, text, cause, self._clock.now())
            return kept

        return await self._store.write(give)

    async def put_aside(self, row: int, cause: Cause, reason: str) -> Kept:
        """Say that it needs nothing; raises as ``give`` does."""
        before, after = TrayState.OPEN, TrayState.ASIDE
        return await self._store.write(
            lambda work: self._settle(work, row, before, after, cause, reason, None)
        )

    async def take_up(self, row: int, cause: Cause, reason: str) -> Kept:
        """Open one again that had been put aside; raises as ``give`` does."""
        before, after = TrayState.ASIDE, TrayState.OPEN
        return await self._store.write(
            lambda work: self._settle(work, row, before, after, cause, reason, None)
        )

    def _settle(
        self,
        work: SortingWork,
        row: int,
        before: TrayState,
        after: TrayState,
        cause: Cause,
        note: str,
        no: OrderNo | None,
    ) -> Kept:
        now, by = self._clock.now(), cause.actor.id
        found = work.tray.get(row)
        if not work.tray.settle(row, before, after, by, note, no, now):
            raise UnknownChanged("Somebody has dealt with this message.", state=found.state)
        subject = f"{found.source} #{row}"
        work.access.record(now, by, f"unknown.{after}", subject, f"{no}: {note}" if no else note)
        return work.tray.get(row)
