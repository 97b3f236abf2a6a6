"""Which events partners are told of, under which names, and how much of each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from orderkeep.delivery.cloud_events import CloudEvent, traceparent
from orderkeep.http.door import event_data as data
from orderkeep.http.door.wire import MoneyView
from orderkeep.orders import events as e
from orderkeep.orders.order import Risk
from orderkeep.orders.tracking import Announced

DATA_VERSION = 1
SOURCE = "/v1/events"
"""The context in which an event's id means one thing only: the feed it can be read from again."""

TYPES: Mapping[str, str] = {
    "order.submitted": "order.submitted.v1",
    "file.rejected": "order.model_rejected.v1",
    "price.calculated": "order.priced.v1",
    "price.expired": "order.price_expired.v1",
    "price.manual": "order.price_manual.v1",
    "price.failed": "order.price_manual.v1",
    "order.approved": "order.approved.v1",
    "order.approved_elsewhere": "order.approved.v1",
    "order.started": "order.production_started.v1",
    "order.completed": "order.production_completed.v1",
    "order.packaging": "order.packaged.v1",
    "order.shipped": "order.shipped.v1",
    "order.closed": "order.closed.v1",
    "order.cancelled": "order.cancelled.v1",
    "order.held": "order.held.v1",
    "order.resumed": "order.resumed.v1",
    "risk.changed": "order.late.v1",
    "promise.changed": "order.promise_changed.v1",
    "return.opened": "order.return_opened.v1",
    "return.resolved": "order.return_resolved.v1",
}
"""The public type of each kind of event; a kind that is not here stays inside."""

KINDS = tuple(TYPES)


class EventView(msgspec.Struct, frozen=True):
    """Something that happened to an order; pass ``id`` as ``after`` to go on behind it."""

    id: str
    type: str
    order_no: str
    client_ref: str | None
    sequence: int
    stage: str
    occurred_at: datetime
    data_version: int
    trace_id: str
    data: dict[str, Any]


class EventPage(msgspec.Struct, frozen=True):
    """A page of events, oldest first; ``next`` is null when there are no more for now."""

    items: list[EventView]
    next: str | None


class StepView(msgspec.Struct, frozen=True):
    """One entry of an order's gapless history; ``type`` is null for inner steps."""

    seq: int
    kind: str
    type: str | None
    stage: str
    at: datetime
    actor: str
    data: dict[str, Any]


class StepPage(msgspec.Struct, frozen=True):
    """A page of an order's history, oldest first."""

    items: list[StepView]
    next: str | None


def is_public(event: e.OrderEvent) -> bool:
    """Whether partners are told; of the risk only when the order is late."""
    if isinstance(event, e.RiskChanged):
        return event.risk is Risk.LATE
    return e.kind_of(event) in TYPES


def event_view(announced: Announced) -> EventView:
    """A public event as the pull feed shows it."""
    one = announced.recorded
    return EventView(
        id=str(announced.position),
        type=TYPES[e.kind_of(one.event)],
        order_no=one.order_no,
        client_ref=announced.client_ref,
        sequence=one.seq,
        stage=one.stage,
        occurred_at=one.at,
        data_version=DATA_VERSION,
        trace_id=one.cause.trace_id,
        data=_data(one.event),
    )


def step_view(one: e.Recorded) -> StepView:
    """An entry of an order's own history; what staff did to each other stays out of it."""
    public = is_public(one.event)
    kind = e.kind_of(one.event)
    return StepView(
        seq=one.seq,
        kind=kind,
        type=TYPES[kind] if public else None,
        stage=one.stage,
        at=one.at,
        actor=one.cause.actor.kind,
        data=_data(one.event) if public else {},
    )


def cloud_event(view: EventView) -> CloudEvent:
    """A public event as CloudEvents have it; its id is the feed's, so that a repeat is known."""
    inside = data.Announcement(
        order_no=view.order_no,
        client_ref=view.client_ref,
        sequence=view.sequence,
        stage=view.stage,
        data_version=view.data_version,
        facts=view.data,
    )
    return CloudEvent(
        specversion="1.0",
        id=view.id,
        source=SOURCE,
        type=view.type,
        subject=view.order_no,
        time=view.occurred_at,
        traceparent=traceparent(view.trace_id, f"{SOURCE} {view.id}"),
        data=msgspec.Raw(msgspec.json.encode(inside)),
    )


def _data(event: e.OrderEvent) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(facts(event))
    return told


def facts(event: e.OrderEvent) -> data.Facts:  # noqa: C901, PLR0911  # A table.
    """What partners are told of an event, in the shape of its public type."""
    match event:
        case e.OrderSubmitted():
            return data.Submitted(event.promise_at, event.body_sha256)
        case e.FileRejected():
            return data.ModelRejected(event.position, event.code, event.message)
        case e.OrderPriced():
            return data.Priced(
                event.version,
                MoneyView(event.total, event.currency),
                event.valid_until,
                event.consent_needed,
            )
        case e.PriceExpired():
            return data.PriceExpired(event.version)
        case e.PricingFailed():
            return data.PriceManual(event.version)
        case e.PriceNeedsPerson():
            return data.PriceManual(event.version, event.reasons)
        case e.OrderShipped():
            return data.Shipped(event.tracking_no, event.carrier)
        case e.OrderCancelled():
            return data.Cancelled(event.reason)
        case e.HoldPlaced():
            yours = event.owner == "client"
            return data.Held(event.until, yours, event.reason if yours else None)
        case e.PromiseChanged():
            return data.PromiseChanged(event.promise_at)
        case e.ReturnResolved():
            return data.ReturnResolved(event.outcome, event.replacement)
        case _:
            return data.Nothing()
