"""Which events are announced to whom: the envelopes saved together with them."""

from collections.abc import Sequence

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import Ids
from orderkeep.orders import events as e
from orderkeep.orders import messages as m
from orderkeep.orders.messages import (
    FLOOR_WORD,
    MES_WORD,
    ORDER_CANCELLED,
    PRICE_WANTED,
    RECALL_WANTED,
    WORK_ORDER_WANTED,
)
from orderkeep.orders.order import Order

SCHEMA_VERSION = 1
"""Of every kind, as it is sent today."""


def routes(*, floor: bool) -> dict[str, tuple[str, ...]]:
    """Consumers by envelope kind; ``floor`` when the built-in workshop is the MES."""
    return {
        PRICE_WANTED: ("quoting",),
        WORK_ORDER_WANTED: ("bridge",),
        RECALL_WANTED: ("bridge",),
        ORDER_CANCELLED: ("bridge", "floor") if floor else ("bridge",),
        FLOOR_WORD: ("bridge",),
        MES_WORD: ("bridge",),
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


def _announced(order: Order, event: e.OrderEvent) -> tuple[str, msgspec.Struct] | None:
    match event:
        case e.OrderSubmitted():
            return PRICE_WANTED, m.PriceWanted(order.no, 1)
        case e.PriceQueued() | e.SentBackToPricing():
            return PRICE_WANTED, m.PriceWanted(order.no, event.version)
        case e.OrderApproved() | e.ReworkOrdered():
            return WORK_ORDER_WANTED, m.WorkOrderWanted(order.no, event.reference)
        case e.CancelRequested() | e.HandedBack() if order.work_order and order.cancel_request:
            return RECALL_WANTED, m.RecallWanted(order.no, order.work_order.reference)
        case e.OrderCancelled() if order.work_order:
            return ORDER_CANCELLED, m.OrderCancelled(order.no, order.work_order.reference)
        case _:
            return None


__all__ = [
    "FLOOR_WORD",
    "MES_WORD",
    "ORDER_CANCELLED",
    "PRICE_WANTED",
    "RECALL_WANTED",
    "WORK_ORDER_WANTED",
    "envelopes_for",
    "routes",
]
