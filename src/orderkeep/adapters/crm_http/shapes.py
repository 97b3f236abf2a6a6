"""What goes over the wire to a CRM that calls nothing by another name, and what comes back.

The adapter writes and reads the names that are in its settings, and everything else as here.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from orderkeep.adapters.crm_http.settings import CrmHttpSettings
from orderkeep.orders.news import News
from orderkeep.orders.order import Order, Position

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class CrmPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is made, without what is engraved: that is the client's own words."""

    position: int
    quantity: int
    material: str | None = None
    file_id: str | None = None
    file_sha256: str | None = None
    file_name: str | None = None
    sku: str | None = None


class CrmPrice(msgspec.Struct, frozen=True):
    """An amount as text, so that nothing of it is lost on the way."""

    amount: str
    currency: str


class CrmHold(msgspec.Struct, frozen=True):
    """Why an order rests, who owns that, and until when."""

    reason: str
    owner: str
    until: Instant


class CrmNews(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of news: what happened, and the order as that left it.

    ``event``: ``accepted priced approved started completed packed shipped closed cancelled held
    resumed diverged`` … A greater ``version`` is newer. A cancelled order has ``cancelled``, for a
    CRM whose stages do not know that. Names, addresses and other personal data are not sent.
    """

    event_id: str
    order_no: str
    version: int
    event: str
    stage: str
    at: Instant
    channel: str
    client_ref: str | None = None
    partner_id: str | None = None
    positions: list[CrmPosition] = []
    price: CrmPrice | None = None
    price_valid_until: Instant | None = None
    promise_at: Instant | None = None
    hold: CrmHold | None = None
    diverged: str | None = None
    cancelled: bool = False
    cancel_reason: str | None = None
    cancel_note: str | None = None
    tracking_no: str | None = None
    carrier: str | None = None


class CrmOrderShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as the CRM answers with it: the newest ``version`` and the stage it knows."""

    order_no: str
    version: int | None = None
    stage: str | None = None
    id: str | None = None


class CrmCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody decided at the CRM: ``approve``, ``close`` or ``cancel``, once under its id."""

    id: str
    order_no: str
    command: str
    reason: str | None = None
    version: int | None = None


class CrmCommands(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the CRM's feed of what its people decided, oldest first."""

    items: list[CrmCommand]
    next: str | None = None


def body_of(news: News, names: CrmHttpSettings) -> bytes:
    """The request's body, in the CRM's own words: the same for the same news, byte for byte."""
    told = msgspec.to_builtins(_shape(news, names))
    theirs = {
        "event_id": names.event_id_field,
        "order_no": names.order_no_field,
        "version": names.version_field,
        "event": names.event_field,
        "stage": names.stage_field,
        "at": names.at_field,
    }
    return msgspec.json.encode({theirs.get(name, name): value for name, value in told.items()})


def _shape(news: News, names: CrmHttpSettings) -> CrmNews:
    order, price = news.order, news.order.price.total
    reason = order.cancelled_because
    return CrmNews(
        event_id=news.id,
        order_no=order.no,
        version=news.version,
        event=news.kind,
        stage=names.stages.get(order.stage, str(order.stage)),
        at=news.recorded.at,
        channel=order.channel,
        client_ref=order.client_ref,
        partner_id=order.partner_id,
        positions=[_position(one) for one in order.positions],
        price=CrmPrice(str(price.amount), price.currency) if price else None,
        price_valid_until=order.price.valid_until,
        promise_at=order.promise_at,
        hold=_hold(order),
        diverged=order.diverged,
        cancelled=reason is not None,
        cancel_reason=names.reasons.get(reason, names.other_reason) if reason else None,
        cancel_note=reason,
        tracking_no=order.shipment.tracking_no if order.shipment else None,
        carrier=order.shipment.carrier if order.shipment else None,
    )


def _position(one: Position) -> CrmPosition:
    return CrmPosition(*(getattr(one, name) for name in CrmPosition.__struct_fields__))


def _hold(order: Order) -> CrmHold | None:
    hold = order.hold
    return CrmHold(hold.reason, hold.owner, hold.until) if hold else None
