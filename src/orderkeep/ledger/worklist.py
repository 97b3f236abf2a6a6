"""Bringing lost orders back: a list that somebody works through, and nothing leaves it unseen."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from orderkeep.bridge.ports import MesUnavailable
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.ledger.asking import Asking, NotNow
from orderkeep.ledger.lost import LostOrder, Table
from orderkeep.ledger.lost_list import Entry, Imported, LostChanged, LostState

BEFORE_IMPORT = failpoint("lost.before_import", "the table is read, nothing of it is on disk")
AFTER_IMPORT = failpoint("lost.after_import", "the whole table is on disk")
AFTER_LOOK = failpoint("lost.after_look", "what the MES shows of lost orders is on disk")

LOOKS_AT_ONCE: Final = 20
AGAIN: Final = timedelta(minutes=1)

log = structlog.get_logger()


class Worklist:
    """Imports tables and settles entries; ``asks`` whether there is a MES to be asked."""

    def __init__(self, store: Store[Any], clock: Clock, *, asks: bool) -> None:
        self._store = store
        self._clock = clock
        self._asks = asks

    async def take(self, table: Table, source: str, by: str, *, dry_run: bool) -> Imported:
        """Put a table on the list, all of it in one commit; what is there already stays as it is.

        Returning means it is on disk. The same table again changes nothing.
        """
        if dry_run:
            return await self._store.read(lambda work: _plan(work, table, source)[0])
        now = self._clock.now()
        look_at = now if self._asks else None

        def keep(work: Any) -> Imported:
            told, fresh, held = _plan(work, table, source)
            work.lost.add(source, fresh, held, by, now, look_at)
            work.wake("lost")
            return msgspec.structs.replace(told, dry_run=False)

        reach(BEFORE_IMPORT)
        imported = await self._store.write(keep)
        reach(AFTER_IMPORT)
        log.info("lost.imported", source=source, rows=imported.rows, fresh=imported.fresh)
        return imported

    async def settle(  # A decision's facts, by name.
        self,
        row: int,
        version: int,
        state: LostState,
        by: str,
        *,
        order_no: OrderNo | None = None,
        reason: str | None = None,
    ) -> Entry:
        """Say what became of a lost order; ``OPEN`` opens it again.

        Raises:
            LostNotFound, OrderNotFound: there is no such entry or order.
            LostChanged: somebody was faster.
        """
        now = self._clock.now()

        def settle(work: Any) -> Entry:
            entry: Entry = work.lost.entry(row)
            if entry.version != version:
                raise LostChanged("Somebody has settled it meanwhile.")
            if order_no is not None:
                work.orders.history(order_no)  # It has to be there.
            who = {"decided_by": by, "decided_at": now, "reason": reason, "order_no": order_no}
            settled: Entry = work.lost.settle(entry, now, state=state, **who)
            return settled

        return await self._store.write(settle)


def _plan(
    work: Any, table: Table, source: str
) -> tuple[Imported, list[LostOrder], dict[str, OrderNo]]:
    numbers = [one.number for one in table.rows]
    known = work.lost.known(source, numbers)
    fresh = [one for one in table.rows if one.number not in known]
    held = work.lost.held(fresh)
    told = Imported(
        source=source,
        rows=len(table.rows),
        fresh=len(fresh) - len(held),
        found_here=len(held),
        known=len(known),
        ignored=table.ignored,
        dry_run=True,
    )
    return told, fresh, held


class LostLooks:
    """Asks the MES about lost orders, and finds those that have come in since."""

    def __init__(self, store: Store[Any], mes: Asking, clock: Clock) -> None:
        self._store = store
        self._mes = mes
        self._clock = clock

    async def step(self) -> int:
        """Ask about a few; returns 0, since nothing of this is in a hurry."""
        now = self._clock.now()
        due, matched = await self._store.read(
            lambda work: (work.lost.to_look(now, LOOKS_AT_ONCE), work.lost.match(now, 0))
        )
        if matched:
            await self._store.write(lambda work: work.lost.match(now, LOOKS_AT_ONCE))
        if not due or not self._mes.capabilities.lookup:
            return 0
        told = [await self._look(entry, now) for entry in due if self._mes.has_room()]
        if not told:
            return 0
        await self._store.write(lambda work: [work.lost.looked(*one) for one in told] and None)
        reach(AFTER_LOOK)
        return 0

    async def _look(
        self, entry: Entry, now: datetime
    ) -> tuple[int, str, str | None, datetime | None]:
        reference = WorkOrderRef(entry.order.mes_number or entry.order_no or entry.order.number)
        try:
            jobs = await self._mes.find(reference)
        except (MesUnavailable, NotNow):
            return entry.row, "unknown", None, now + AGAIN
        if not jobs:
            return entry.row, "absent", None, None
        told = ", ".join(f"{job.mes_id} {job.status or ''}".strip() for job in jobs)
        return entry.row, "there", told[:400], None
