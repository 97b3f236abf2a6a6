"""Which events are announced to whom: the envelopes saved together with them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import Ids
from orderkeep.orders import events as e
from orderkeep.orders.order import Order

PRICE_WANTED = "price.wanted"
WORK_ORDER_WANTED = "work_order.wanted"
RECALL_WANTED = "work_order.recall_wanted"
ORDER_CANCELLED = "order.cancelled"
FLOOR_WORD = "floor.word"
SCHEMA_VERSION = 1


def routes(*, floor: bool) -> dict[str, tuple[str, ...]]:
    """Consumers by envelope kind; ``floor`` when the built-in workshop is the MES."""
    return {
        PRICE_WANTED: ("quoting",),
        WORK_ORDER_WANTED: ("bridge",),
        RECALL_WANTED: ("bridge",),
        ORDER_CANCELLED: ("bridge", "floor") if floor else ("bridge",),
        FLOOR_WORD: ("bridge",),
    }


def envelopes_for(order: Order, recorded: Sequence[e.Recorded], ids: Ids) -> list[Envelope]:
    """The envelopes that announce events of one decision."""
    return [
        Envelope(
            id=ids.envelope_id(one.at),
            kind=kind,
            schema_version=SCHEMA_VERSION,
            order_key=order.no,
            at=one.at,
            trace_id=one.cause.trace_id,
            body=msgspec.json.encode(body),
        )
        for one in recorded
        if (announced := _announced(order, one.event))
        for kind, body in [announced]
    ]


def _announced(order: Order, event: e.OrderEvent) -> tuple[str, dict[str, Any]] | None:
    match event:
        case e.OrderSubmitted():
            return PRICE_WANTED, {"order_no": order.no, "version": 1}
        case e.PriceQueued() | e.SentBackToPricing():
            return PRICE_WANTED, {"order_no": order.no, "version": event.version}
        case e.OrderApproved() | e.ReworkOrdered():
            return WORK_ORDER_WANTED, {"order_no": order.no, "reference": event.reference}
        case e.CancelRequested() | e.HandedBack() if order.work_order and order.cancel_request:
            reference = order.work_order.reference
            return RECALL_WANTED, {"order_no": order.no, "reference": reference}
        case e.OrderCancelled() if order.work_order:
            reference = order.work_order.reference
            return ORDER_CANCELLED, {"order_no": order.no, "reference": reference}
        case _:
            return None
