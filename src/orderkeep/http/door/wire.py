"""What partners see of an order: their half of it, in shapes that stay."""

from datetime import datetime

import msgspec

from orderkeep.files.ports import StoredFile
from orderkeep.http.door.accepting import Links, PromiseView, links
from orderkeep.kernel.money import Money
from orderkeep.orders.order import Order, Position, Price, PriceLine
from orderkeep.orders.view import BoardRow, mes_state

_CLIENT = "client"


class MoneyView(msgspec.Struct, frozen=True):
    """An exact amount; a string, because floats do not hold money."""

    amount: str
    currency: str


class PriceLineView(msgspec.Struct, frozen=True):
    """What one position costs; how the maker reckons it is the maker's own business."""

    unit: str
    total: str
    mass_g: str | None
    volume_mm3: str | None


class ManualReasonView(msgspec.Struct, frozen=True):
    """Why a position waits for a person to price it."""

    position: int
    code: str
    message: str


class PriceView(msgspec.Struct, frozen=True):
    """The price: ``state`` is none, queued, running, ready, failed, manual or expired."""

    state: str
    version: int
    total: MoneyView | None
    currency: str | None
    valid_until: datetime | None
    consent_needed: bool
    accepted: MoneyView | None
    reasons: list[ManualReasonView]


class PriceSummary(msgspec.Struct, frozen=True):
    """The price as lists show it."""

    state: str
    total: MoneyView | None


class DeliveryView(msgspec.Struct, frozen=True):
    """How far the order is on its way to the workshop's system and to the CRM."""

    mes: str | None
    crm: str | None


class HoldView(msgspec.Struct, frozen=True):
    """The order rests; ``yours`` when it waits for you, and then ``reason`` says what for."""

    until: datetime
    yours: bool
    reason: str | None


class CancelView(msgspec.Struct, frozen=True):
    """A cancellation that waits for proof that nothing is being made."""

    reason: str
    since: datetime
    refused: bool


class ReturnView(msgspec.Struct, frozen=True):
    """A return: open, in_inspection or resolved."""

    state: str
    since: datetime
    outcome: str | None
    replacement: str | None


class ShipmentView(msgspec.Struct, frozen=True):
    """How the parcel travels."""

    tracking_no: str
    carrier: str | None


class PositionView(msgspec.Struct, frozen=True):
    """One line of the order."""

    position: int
    quantity: int
    material: str | None
    sku: str | None
    file_id: str | None
    file_name: str | None
    file_sha256: str | None
    engraving: str | None
    rejected: str | None
    price: PriceLineView | None


class OrderView(msgspec.Struct, frozen=True):
    """An order as its partner sees it."""

    order_no: str
    client_ref: str | None
    stage: str
    stage_since: datetime
    version: int
    submitted_at: datetime | None
    body_sha256: str | None
    price: PriceView
    delivery: DeliveryView
    promise: PromiseView
    risk: str
    late: bool
    hold: HoldView | None
    cancel_request: CancelView | None
    cancelled_because: str | None
    return_case: ReturnView | None
    shipment: ShipmentView | None
    rework_no: int
    positions: list[PositionView]
    links: Links


class OrderSummary(msgspec.Struct, frozen=True):
    """An order as lists show it."""

    order_no: str
    client_ref: str | None
    stage: str
    stage_since: datetime
    created_at: datetime
    price: PriceSummary
    delivery: DeliveryView
    promise_at: datetime | None
    risk: str
    held: bool
    links: Links


class OrderPage(msgspec.Struct, frozen=True):
    """A page of orders, oldest first; ``next`` is the ``after`` of the next page, or null."""

    items: list[OrderSummary]
    next: str | None


class FileView(msgspec.Struct, frozen=True):
    """A model file that we keep."""

    file_id: str
    sha256: str
    size_bytes: int
    name: str
    state: str
    uploaded_at: datetime


class LimitsView(msgspec.Struct, frozen=True):
    """Your quota, and what is left of it; asking costs nothing."""

    rate: int
    per_seconds: int
    remaining: int
    reset_seconds: int


def file_view(file: StoredFile) -> FileView:
    """A file as it is answered."""
    return FileView(file.id, file.sha256, file.size_bytes, file.name, file.state, file.at)


def order_view(order: Order, crm: str | None = None) -> OrderView:
    """An order as its partner sees it; ``crm`` is how far the CRM knows of it."""
    return OrderView(
        order_no=order.no,
        client_ref=order.client_ref,
        stage=order.stage,
        stage_since=order.stage_since,
        version=order.version,
        submitted_at=order.submitted_at,
        body_sha256=order.body_sha256,
        price=_price(order.price),
        delivery=DeliveryView(mes_state(order), crm),
        promise=PromiseView(order.promise_at, order.promise_by),
        risk=order.risk,
        late=order.risk == "late",
        hold=_hold(order),
        cancel_request=_cancel_request(order),
        cancelled_because=order.cancelled_because,
        return_case=_return_case(order),
        shipment=_shipment(order),
        rework_no=order.rework_no,
        positions=_positions(order),
        links=links(order.no),
    )


def order_summary(row: BoardRow, crm: str | None = None) -> OrderSummary:
    """A row as its partner sees it; ``crm`` as in ``order_view``."""
    total = None
    if row.price_total is not None and row.price_currency is not None:
        total = MoneyView(row.price_total, row.price_currency)
    return OrderSummary(
        order_no=row.order_no,
        client_ref=row.client_ref,
        stage=row.stage,
        stage_since=row.stage_since,
        created_at=row.created_at,
        price=PriceSummary(row.price_state, total),
        delivery=DeliveryView(row.mes_state, crm),
        promise_at=row.promise_at,
        risk=row.risk,
        held=row.hold_until is not None,
        links=links(row.order_no),
    )


def _price(price: Price) -> PriceView:
    return PriceView(
        state=price.state,
        version=price.version,
        total=_money(price.total),
        currency=price.total.currency if price.total else None,
        valid_until=price.valid_until,
        consent_needed=price.consent_needed,
        accepted=_money(price.accepted),
        reasons=[ManualReasonView(one.position, one.code, one.message) for one in price.reasons],
    )


def _money(money: Money | None) -> MoneyView | None:
    return MoneyView(str(money.amount), money.currency) if money else None


def _hold(order: Order) -> HoldView | None:
    if order.hold is None:
        return None
    yours = order.hold.owner == _CLIENT
    # Why the workshop waits is its own business; why it waits for the client is the client's.
    return HoldView(order.hold.until, yours, order.hold.reason if yours else None)


def _cancel_request(order: Order) -> CancelView | None:
    request = order.cancel_request
    return CancelView(request.reason, request.since, bool(request.refused)) if request else None


def _return_case(order: Order) -> ReturnView | None:
    case = order.return_case
    return ReturnView(case.state, case.since, case.outcome, case.replacement) if case else None


def _shipment(order: Order) -> ShipmentView | None:
    parcel = order.shipment
    return ShipmentView(parcel.tracking_no, parcel.carrier) if parcel else None


def _positions(order: Order) -> list[PositionView]:
    prices = {line.position: line for line in order.price.lines}
    return [
        _position(one, order.file_rejected.get(one.position), prices.get(one.position))
        for one in order.positions
    ]


def _position(one: Position, rejected: str | None, price: PriceLine | None) -> PositionView:
    return PositionView(
        position=one.position,
        quantity=one.quantity,
        material=one.material,
        sku=one.sku,
        file_id=one.file_id,
        file_name=one.file_name,
        file_sha256=one.file_sha256,
        engraving=one.engraving,
        rejected=rejected,
        price=_price_line(price) if price else None,
    )


def _price_line(line: PriceLine) -> PriceLineView:
    return PriceLineView(line.unit, line.total, line.mass_g, line.volume_mm3)
