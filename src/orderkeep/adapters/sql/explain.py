"""Everything stored about one order, gathered for its explanation."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from orderkeep.adapters.sql.instants import from_micros
from orderkeep.board.ports import Hop
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.ledger.explain import Carriage, Facts
from orderkeep.orders.events import Recorded
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Order
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderNotFound

if TYPE_CHECKING:
    from orderkeep.adapters.sql.work import SqlWork

_GIVEN = "SELECT value FROM counters WHERE name = 'orders'"
_ASKED = (
    "SELECT at FROM price_jobs WHERE order_n = ?1 AND version = ?2"
    " AND state IN ('queued', 'running')"
)
_FINDING = (
    "SELECT kind, facts FROM reconcile_findings"
    " WHERE destination = 'mes' AND reference = ?1"
    " AND state IN ('open', 'decided') ORDER BY row LIMIT 1"
)
_RECEIVERS = frozenset({"quoting", "bridge", "floor"})


def facts_of(work: "SqlWork", no: OrderNo, policy: Policy) -> Facts:
    """The facts about an order, also about one that is not there."""
    history = _history(work, no)
    if not history:
        return Facts(no, _was_given_out(work, no), policy=policy)
    order = rebuild(history)
    references = [one.reference for one in order.earlier_work_orders]
    current = order.work_order.reference if order.work_order else None
    hops = work.board.hops(no, references, [one.at for one in history])
    return Facts(
        order_no=no,
        given_out=True,
        order=order,
        history=history,
        carriages=carriages(hops),
        asked_at=_asked_at(work, order),
        way=work.deliveries.get("mes", current) if current else None,
        finding=_finding(work, current or no),
        policy=policy,
    )


def carriages(hops: Iterable[Hop]) -> list[Carriage]:
    """The envelopes among an order's hops, each with what is proven of it."""
    found: dict[str, dict[str, datetime | str]] = {}
    for hop in hops:
        if (hop.from_, hop.to) == ("order", "outbox"):
            found[hop.id] = {"kind": hop.what, "kept_at": hop.at}
        elif (known := found.get(hop.id)) is not None:
            known[_proof_of(hop)] = hop.at
    return [msgspec.convert(one, Carriage) for one in found.values()]


def _proof_of(hop: Hop) -> str:
    if hop.to == "inbox":
        return "sent_at"
    if hop.to == "order":
        return "dead_at" if hop.state == "dead" else "handled_at"
    return "received_at" if hop.to in _RECEIVERS else "dead_at"


def _history(work: "SqlWork", no: OrderNo) -> Sequence[Recorded]:
    try:
        return work.orders.history(no)
    except OrderNotFound:
        return ()


def _was_given_out(work: "SqlWork", no: OrderNo) -> bool:
    row = work.raw.execute(_GIVEN).fetchone()
    n = order_n(no)
    return row is not None and n is not None and n <= row[0]


def _asked_at(work: "SqlWork", order: Order) -> datetime | None:
    row = work.raw.execute(_ASKED, (order_n(order.no), order.price.version)).fetchone()
    return None if row is None else from_micros(row[0])


def _finding(work: "SqlWork", reference: str) -> tuple[str, str] | None:
    row = work.raw.execute(_FINDING, (reference,)).fetchone()
    if row is None:
        return None
    kind, facts = row
    return kind, str(msgspec.json.decode(facts).get("what", ""))
