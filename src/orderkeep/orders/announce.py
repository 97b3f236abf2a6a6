"""Which events are announced to whom: the envelopes saved together with them."""

from collections.abc import Sequence

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import Ids
from orderkeep.orders import events as e
from orderkeep.orders import messages as m
from orderkeep.orders.messages import (
    CRM_WORD,
    FLOOR_WORD,
    MES_WORD,
    ORDER_CANCELLED,
    ORDER_CHANGED,
    PRICE_WANTED,
    RECALL_WANTED,
    WORK_ORDER_WANTED,
)
from orderkeep.orders.news import is_news
from orderkeep.orders.order import Order

SCHEMA_VERSION = 1
"""Of every kind, as it is sent today."""


def routes(*, floor: bool, crm: bool = False) -> dict[str, tuple[str, ...]]:
    """Consumers by envelope kind; ``floor`` when the built-in workshop is the MES.

    With a ``crm`` the question for a price is its first news too: accepting writes one envelope.
    """
    told = {ORDER_CHANGED: ("crm",), CRM_WORD: ("crm",)} if crm else {}
    return told | {
        PRICE_WANTED: ("quoting", "crm") if crm else ("quoting",),
        WORK_ORDER_WANTED: ("bridge",),
        RECALL_WANTED: ("bridge",),
        ORDER_CANCELLED: ("bridge", "floor") if floor else ("bridge",),
        FLOOR_WORD: ("bridge",),
        MES_WORD: ("bridge",),
    }


def envelopes_for(
    order: Order, recorded: Sequence[e.Recorded], ids: Ids, *, crm: bool = False
) -> list[Envelope]:
    """The envelopes that announce events of one decision; ``crm`` when there is one to be told."""
    announced = [
        (one, kind, body)
        for one in recorded
        if (found := _announced(order, one.event))
        for kind, body in [found]
    ]
    if crm and not any(kind == PRICE_WANTED for _, kind, _ in announced):
        announced += _told_to_crm(order, recorded)
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
        for one, kind, body in announced
    ]


def _told_to_crm(
    order: Order, recorded: Sequence[e.Recorded]
) -> list[tuple[e.Recorded, str, msgspec.Struct]]:
    """One envelope for all that one decision caused: its receiver reads the order's history."""
    news = [one for one in recorded if is_news(one.event)]
    return [(one, ORDER_CHANGED, m.OrderChanged(order.no, one.seq)) for one in news[-1:]]


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
    "CRM_WORD",
    "FLOOR_WORD",
    "MES_WORD",
    "ORDER_CANCELLED",
    "ORDER_CHANGED",
    "PRICE_WANTED",
    "RECALL_WANTED",
    "WORK_ORDER_WANTED",
    "envelopes_for",
    "routes",
]
