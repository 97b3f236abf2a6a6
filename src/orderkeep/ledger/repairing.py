"""Carries out what a person or the policy has decided about a finding; never sends by itself."""

from datetime import datetime
from typing import Any

import structlog

from orderkeep.bridge.hearing import Hearing
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.telling import Teller, change, unread
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.ledger.passes import Finding
from orderkeep.ledger.reconcile import Decision, Kind, Ways, compare
from orderkeep.orders.order import Delivered

BEFORE_REPAIR = failpoint("reconcile.before_repair", "the decision is on disk, and not carried out")
AFTER_REPAIR = failpoint("reconcile.after_repair", "the repair and the finding's end are on disk")

DENIED = "the MES does not show it"
TO_PROVE = "to be proven absent before it is sent again"

log = structlog.get_logger()


class Repairs:
    """Repairs one destination's findings; ``lag`` is the MES's visibility lag."""

    def __init__(self, store: Store[Any], teller: Teller, hearing: Hearing, ways: Ways) -> None:
        self._store = store
        self._teller = teller
        self._hearing = hearing
        self._ways = ways

    async def carry_out(self, finding: Finding, now: datetime) -> None:
        """Do what was decided, if it still makes sense; the finding ends in the same commit."""
        reach(BEFORE_REPAIR)
        done = await self._store.write(lambda work: self._repair(work, finding, now))
        reach(AFTER_REPAIR)
        log.info(
            "finding.repaired" if done else "finding.overtaken",
            order_id=finding.order_no,
            work_order_no=finding.reference,
            decision=finding.decision,
        )

    def _repair(self, work: Any, finding: Finding, now: datetime) -> bool:
        done = self._done(work, finding, now)
        state = "repaired" if done else "gone"
        work.reconciling.change(finding, state=state, seen_at=now)
        return done

    def _done(self, work: Any, finding: Finding, now: datetime) -> bool:
        if finding.order_no is None or not self._still_so(work, finding, now):
            return False
        if finding.decision == Decision.RESEND:
            self._suspect(work, finding, now)
        else:
            self._hear(work, finding, now)
        return True

    def _still_so(self, work: Any, finding: Finding, now: datetime) -> bool:
        """Compared anew with what we say now: the world went on while somebody decided."""
        ours = work.reconciling.ours(finding.destination, finding.reference)
        shown = finding.status
        jobs = [] if finding.kind is Kind.MISSING_THERE else [_job(finding, shown)]
        found = compare(ours, jobs, now, self._ways, now)
        return found is not None and finding.decision in found.repairs

    def _suspect(self, work: Any, finding: Finding, now: datetime) -> None:
        """It becomes unclear; nothing is sent here.

        The bridge sends it only once its own look-ups have proven that the MES does not have it,
        or where the MES makes a repeat safe itself.
        """
        no, reference = OrderNo(str(finding.order_no)), WorkOrderRef(finding.reference)
        row = work.deliveries.get(finding.destination, reference)
        self._teller.tell(work, no, change(reference, Delivered.DIVERGED, DENIED))
        self._teller.tell(work, no, change(reference, Delivered.UNCERTAIN, TO_PROVE))
        work.deliveries.change(
            row,
            state=Delivered.UNCERTAIN,
            since=now,
            last_sent_at=now,
            next_at=now,
            absent_seen=0,
            detail=TO_PROVE,
            **unread(row),
        )
        work.wake("bridge")

    def _hear(self, work: Any, finding: Finding, now: datetime) -> None:
        row = work.deliveries.get(finding.destination, finding.reference)
        self._hearing.hear(work, row, _job(finding, finding.status), now)


def _job(finding: Finding, status: str | None) -> MesJob:
    return MesJob("", finding.reference, status)
