"""Claiming on SQLite: operators who race are served one after the other in one transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS, RECORD, event_row, row_from
from orderkeep.adapters.sql.instants import to_micros
from orderkeep.adapters.sql.lanes import Failed, Gates, HalvingLane, Hot, Lanes
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.failpoints import failpoint
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.commands import ClaimOrder
from orderkeep.orders.events import Cause, OrderClaimed, Recorded
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.order import Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context

BEFORE_COMMIT = failpoint("claim.before_commit", "nothing of the claim")
AFTER_COMMIT = failpoint("claim.after_commit", "the claim; the operator has not been told")

# Most urgent first; the index holds only what may be taken.
_FIRST = (
    "SELECT n FROM orders INDEXED BY ix_orders_claimable WHERE is_claimable"
    " ORDER BY priority, due_at, n LIMIT ?"
)
_VERSION, _PARTNER = COLUMNS.index("version"), COLUMNS.index("partner_id")
_CLAIM = (
    "UPDATE orders SET version = version + 1, changed_at = ?2, claim_operator = ?3,"
    " claim_until = ?4, timer_at = min(coalesce(timer_at, ?4), ?4), is_claimable = 0"
    f" WHERE n = ?1 AND is_claimable RETURNING {', '.join(COLUMNS)}"
)


class Claiming(NamedTuple):
    """An operator who takes an order: a certain one, or the next."""

    no: OrderNo | None
    operator: str
    now: datetime
    until: datetime
    cause: Cause


class ClaimBatch(HalvingLane[Claiming, Recorded | None]):
    """Serves waiting operators in the order they came; nobody gets what another got."""

    gates: Gates | None = Gates(BEFORE_COMMIT, AFTER_COMMIT)

    def run_all(self, work: SqlWork, items: Sequence[Claiming]) -> Sequence[Any]:
        free = self._free(work, items)
        return [self._serve(work, item, free) for item in items]

    def _free(self, work: SqlWork, items: Sequence[Claiming]) -> Iterator[int]:
        if all(item.no is not None for item in items):
            return iter(())
        # As many as there are operators: those who name an order may take some of them.
        return self._first(work, len(items))

    def _first(self, work: SqlWork, count: int) -> Iterator[int]:
        return iter([row[0] for row in work.raw.execute(_FIRST, (count,))])

    def _serve(
        self, work: SqlWork, item: Claiming, free: Iterator[int]
    ) -> Recorded | Failed | None:
        if item.no is not None:
            n = order_n(item.no)
            return (n and self._take(work, n, item)) or self._refusal(work, item.no, item)
        taken = (self._take(work, n, item) for n in free)
        return next((recorded for recorded in taken if recorded is not None), None)

    def _take(self, work: SqlWork, n: int, item: Claiming) -> Recorded | None:
        row = self._claimed(work, n, item)
        if row is None:
            return None
        recorded = _recorded(n, row[_VERSION], item)
        work.raw.execute(RECORD, event_row(n, row[_PARTNER], recorded))
        if work.watched:
            work.changed(row_from(n, row))
        return recorded

    def _claimed(self, work: SqlWork, n: int, item: Claiming) -> Sequence[Any] | None:
        """The row as it is now, if the order was free."""
        found: Sequence[Any] | None = work.raw.execute(_CLAIM, (n, *instants(item))).fetchone()
        return found

    def _refusal(self, work: SqlWork, no: OrderNo, item: Claiming) -> Recorded | Failed:
        """What the lifecycle says: who has it, or why it cannot be taken now."""
        try:
            history = work.orders.history(no)
            decide(
                rebuild(history),
                ClaimOrder(item.operator),
                Context(item.cause.actor, item.now, Policy()),
            )
        except Refused as refusal:
            return Failed(refusal)
        # Nothing to decide: the operator holds it already, by a claim or because the head said so.
        claims = (one for one in reversed(history) if isinstance(one.event, OrderClaimed))
        return next(claims, history[-1])


class SqlClaimLane:
    """Takes orders for operators; returning means the claim is on disk."""

    def __init__(self, lanes: Lanes, batch: Hot[Claiming, Recorded | None]) -> None:
        self._lanes = lanes
        self._batch = batch

    async def claim_next(
        self, operator: str, now: datetime, until: datetime, cause: Cause
    ) -> OrderNo | None:
        """Take the most urgent order that is free; None when there is none."""
        item = Claiming(None, operator, now, until, cause)
        recorded = await self._lanes.submit(self._batch, item)
        return recorded.order_no if recorded else None

    async def claim(
        self, no: OrderNo, operator: str, now: datetime, until: datetime, cause: Cause
    ) -> Recorded:
        """Take this order; taking it again changes nothing.

        Raises:
            TransitionRefused: says who has it, or why it cannot be taken.
            OrderNotFound: there is no such order.
        """
        item = Claiming(no, operator, now, until, cause)
        recorded = await self._lanes.submit(self._batch, item)
        assert recorded is not None  # noqa: S101  # Whoever names an order is given it or refused.
        return recorded


def instants(item: Claiming) -> tuple[int, str, int]:
    """When the claim begins, whose it is, and when it ends."""
    return to_micros(item.now), item.operator, to_micros(item.until)


def _recorded(n: int, seq: int, item: Claiming) -> Recorded:
    event = OrderClaimed(item.operator, item.until)
    stage = Stage.MANUFACTURING_APPROVED  # the only one in which an order can be claimed
    return Recorded(order_no(n), seq, item.now, stage, item.cause, event)
