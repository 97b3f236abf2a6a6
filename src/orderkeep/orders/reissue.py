"""A return that ends in a new piece: a new order of its own, linked to the one it replaces."""

from datetime import datetime
from typing import Protocol

from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.commands import ResolveReturn
from orderkeep.orders.events import Cause, OrderSubmitted
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import Handled, OrderMaster
from orderkeep.orders.ports import OrderWork


class Submissions(Protocol):
    """The acknowledged bodies."""

    def keep(self, no: OrderNo, body: bytes) -> None: ...

    def body(self, no: OrderNo) -> bytes: ...


class ReissueWork(OrderWork, Protocol):
    """A unit of work that opens an order from another."""

    @property
    def submissions(self) -> Submissions: ...


def replace_piece(
    work: ReissueWork,
    master: OrderMaster,
    no: OrderNo,
    cause: Cause,
    now: datetime,
    expected_version: int | None = None,
) -> tuple[Handled, OrderNo]:
    """Settle a return with a new order for the same positions, both in one unit of work.

    Raises:
        TransitionRefused: no return is open.
        StaleOrder: the order is not at ``expected_version`` any more.
    """
    old = rebuild(work.orders.history(no))
    new = work.orders.next_no()
    settle = ResolveReturn("replace", new)
    handled = master.apply(work, no, settle, cause, now, expected_version)
    submitted = OrderSubmitted(
        channel=old.channel,
        partner_id=old.partner_id,
        positions=list(old.positions),
        body_sha256=old.body_sha256 or "",
        promise_at=now + master.policy.lead_time,
        origin=no,
        priority=old.priority,
    )
    master.open(work, new, [submitted], cause, now)
    work.submissions.keep(new, work.submissions.body(no))
    return handled, new
