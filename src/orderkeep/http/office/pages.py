"""An order as its page shows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from orderkeep.access.rights import Role, may
from orderkeep.board.actions import Viewer, order_actions
from orderkeep.board.feed import level_of
from orderkeep.board.journey import journey
from orderkeep.board.ports import Hop, Submitted
from orderkeep.files.ports import StoredFile
from orderkeep.http.office.said import said
from orderkeep.http.office.wire import (
    MoneyShape,
    Names,
    RowShape,
    address,
    customer_shape,
    money,
)
from orderkeep.kernel.ids import FileId
from orderkeep.orders.events import (
    ActorKind,
    CancelRefused,
    OrderEvent,
    Recorded,
    WordDiverged,
    encode,
)
from orderkeep.orders.order import Delivered, Order, Position, PriceState, Stage, WorkOrderState
from orderkeep.orders.policy import Policy
from orderkeep.orders.timers import due

_NEXT = {
    "INITIATED": "complete",
    "FILE_UPLOADED": "submit",
    "SUBMITTED": "price",
    "PRICE_CALCULATED": "approve",
    "MANUFACTURING_APPROVED": "start",
    "MANUFACTURING_STARTED": "done",
    "MANUFACTURING_COMPLETED": "pack",
    "PACKAGING": "ship",
    "SHIPPED": "close",
}
"""What is expected next at each stage, in the words of the actions."""


class PageParts(msgspec.Struct, frozen=True):
    """Everything read for one order's page."""

    order: Order
    history: Sequence[Recorded]
    submitted: Submitted
    hops: Sequence[Hop]
    files: Mapping[FileId, StoredFile]
    crm: Delivered | None = None
    """How far the CRM knows of the order."""


def order_page(
    parts: PageParts, names: Names, viewer: Viewer, policy: Policy, now: datetime
) -> dict[str, Any]:
    """The page of an order for a viewer."""
    return {
        "order": _order(parts, names, viewer.role, policy),
        "journey": journey(parts.history, policy.norms),
        "hops": _hops(parts),
        "can": order_actions(parts.order, viewer, policy, now),
        "next": _next(parts.order, policy),
        "draft": _draft(parts, names, viewer),
        "as_of": now,
    }


def approval_shape(row: RowShape, order: Order, submitted: Submitted, role: Role) -> dict[str, Any]:
    """A row of the approval inbox: what a seller has to know to decide."""
    shape = {field: getattr(row, field) for field in row.__struct_fields__}
    price = order.price
    return shape | {
        "price_detail": {
            "version": price.version,
            "total": money(price.total),
            "valid_until": price.valid_until,
            "lines": price.lines,
            "book_version": price.book_version,
            "by": price.by,
        },
        "consent_needed": price.consent_needed,
        "reasons": price.reasons,
        "customer": customer_shape(submitted, role),
        "previous_total": money(price.accepted),
        "cancel_request": _cancel_request(order),
    }


def event_shape(recorded: Recorded, names: Names) -> dict[str, Any]:
    """An event as the feed shows it."""
    data = msgspec.json.decode(encode(recorded.event))
    kind = data.pop("kind")
    if operator := data.get("operator"):
        data["operator_name"] = names.people.get(operator, operator)
    actor = recorded.cause.actor
    return {
        "seq": recorded.seq,
        "at": recorded.at,
        "kind": kind,
        "stage": recorded.stage,
        "actor": {
            "kind": actor.kind,
            "id": actor.id,
            "name": names.people.get(actor.id) or names.partners.get(actor.id),
            "role": actor.role,
        },
        "source": recorded.cause.source,
        "command": recorded.cause.command,
        "trace_id": recorded.cause.trace_id,
        "level": level_of(recorded),
        "data": data,
        "said": said(_told(recorded.event)),
    }


def _told(event: OrderEvent) -> str | None:
    """What a process of ours wrote down; what people write is left as it is."""
    match event:
        case WordDiverged():
            return event.said
        case CancelRefused():
            return event.why
        case _:
            return None


def _order(parts: PageParts, names: Names, role: Role, policy: Policy) -> dict[str, Any]:
    order = parts.order
    owed = due(order, policy)
    work = order.work_order
    return {
        "order_no": order.no,
        "client_ref": order.client_ref,
        "channel": order.channel,
        "partner": _partner(order, names),
        "stage": order.stage,
        "stage_since": order.stage_since,
        "version": order.version,
        "created_at": order.created_at,
        "submitted_at": order.submitted_at,
        "promise_by": order.promise_by,
        "promise_at": order.promise_at,
        "priority": order.priority,
        "risk": order.risk,
        "due": owed,
        "positions": [_position(one, parts) for one in order.positions],
        "price": _price(order),
        "hold": order.hold,
        "claim": _claim(order, names),
        "work_order": _work_order(work) if work else None,
        "earlier_work_orders": [_work_order(one) for one in order.earlier_work_orders],
        "delivery": {"mes": work.delivered if work else None, "crm": parts.crm},
        "cancel_request": _cancel_request(order),
        "cancelled_because": order.cancelled_because,
        "return_case": order.return_case,
        "rework_no": order.rework_no,
        "home": order.home,
        "shipment": order.shipment,
        "diverged": order.diverged,
        "diverged_said": said(order.diverged),
        "origin": order.origin,
        "customer": customer_shape(parts.submitted, role),
        "delivery_address": address(parts.submitted, role),
        "note": parts.submitted.note,
    }


def _draft(parts: PageParts, names: Names, viewer: Viewer) -> dict[str, Any] | None:
    """Whose draft it is, and whether the viewer is the one who may go on with it."""
    if parts.order.stage not in {Stage.INITIATED, Stage.FILE_UPLOADED}:
        return None
    writer = parts.history[0].cause.actor
    own = writer.kind is ActorKind.PERSON and writer.id == viewer.login
    name = names.people.get(writer.id) or names.partners.get(writer.id) or writer.id
    return {"writer": name, "mine": own and may(viewer.role, "order.create")}


def _partner(order: Order, names: Names) -> dict[str, str] | None:
    if order.partner_id is None:
        return None
    name = names.partners.get(order.partner_id, order.partner_id)
    return {"id": order.partner_id, "name": name}


def _claim(order: Order, names: Names) -> dict[str, Any] | None:
    claim = order.claim
    if claim is None:
        return None
    return {
        "operator": claim.operator,
        "operator_name": names.people.get(claim.operator, claim.operator),
        "since": claim.since,
        "until": claim.until,
    }


def _position(position: Position, parts: PageParts) -> dict[str, Any]:
    return {
        "position": position.position,
        "quantity": position.quantity,
        "material": position.material,
        "file": _file(position, parts.files),
        "sku": position.sku,
        "engraving": position.engraving,
        "price": _line(position, parts.order),
        "rejected": parts.order.file_rejected.get(position.position),
    }


def _file(position: Position, files: Mapping[FileId, StoredFile]) -> dict[str, Any] | None:
    if position.file_id is None:
        return None
    stored = files.get(position.file_id)
    return {
        "id": position.file_id,
        "name": position.file_name,
        "sha256": position.file_sha256,
        "size_bytes": stored.size_bytes if stored else None,
    }


def _line(position: Position, order: Order) -> dict[str, Any] | None:
    line = next((one for one in order.price.lines if one.position == position.position), None)
    if line is None:
        return None
    currency = order.price.total.currency if order.price.total else ""
    return {
        "unit": MoneyShape(line.unit, currency),
        "total": MoneyShape(line.total, currency),
        "lines": line.lines,
        "mass_g": line.mass_g,
        "volume_mm3": line.volume_mm3,
    }


def _price(order: Order) -> dict[str, Any]:
    price = order.price
    return {
        "state": price.state,
        "version": price.version,
        "total": money(price.total),
        "valid_until": price.valid_until,
        "by": price.by,
        "book_version": price.book_version,
        "consent_needed": price.consent_needed,
        "accepted": money(price.accepted),
        "reasons": price.reasons,
    }


def _work_order(work: WorkOrderState) -> dict[str, Any]:
    return {
        "reference": work.reference,
        "generation": work.generation,
        "state": work.delivered,
        "since": work.since,
        "detail": work.detail,
        "said": said(work.detail),
        "mes_id": work.mes_id,
    }


def _cancel_request(order: Order) -> dict[str, Any] | None:
    request = order.cancel_request
    if request is None:
        return None
    shape = {name: getattr(request, name) for name in request.__struct_fields__}
    return shape | {"said": said(request.refused)}


def _hops(parts: PageParts) -> list[Hop]:
    """Every hop with its proof; the first is the submission itself."""
    first = parts.history[0]
    came = Hop(
        first.at, parts.order.channel, first.cause.source, "submission", "kept", first.order_no
    )
    return [came, *parts.hops]


def _next(order: Order, policy: Policy) -> dict[str, Any] | None:
    """Who owes the next step, which one, and until when."""
    owed = due(order, policy)
    if owed is None:
        return None
    what = "lift" if order.hold else _NEXT.get(str(order.stage), "")
    if what == "approve" and order.price.state is not PriceState.READY:
        what = "price"  # It was priced once, and there is nothing to approve now.
    if owed.owner == "client" and not order.hold:
        what = "replace-file" if order.file_rejected else "accept-price"
    return {"owner": owed.owner, "what": what, "at": owed.at}
