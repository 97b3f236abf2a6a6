"""Whether what an envelope asks for is there already: told from the order, not from the inbox."""

from typing import Any

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.mending import UNREADABLE
from orderkeep.kernel.errors import Fault
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders import messages
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import ARRIVED, FINAL, Order, PriceState, Stage
from orderkeep.orders.ports import OrderNotFound

_WORDS = ("accepted", "started", "completed", "packaging", "shipped")
"""How a work order gets on, in the floor's own words."""
_KNOWN = {
    Stage.MANUFACTURING_STARTED: 1,
    Stage.MANUFACTURING_COMPLETED: 2,
    Stage.PACKAGING: 3,
    Stage.SHIPPED: 4,
    Stage.CLOSED: 4,
}
"""Which of them an order at a stage has heard."""
_ASKED = frozenset({PriceState.QUEUED, PriceState.RUNNING})


def already_done(work: Any, envelope: Envelope) -> bool:
    """Whether sending an envelope again would be for nothing; to be called in a unit of work.

    In doubt it says no: whoever receives it looks at the order once more.
    """
    shape = messages.BODIES.get((envelope.kind, envelope.schema_version))
    if shape is None:
        return False
    try:
        body: Any = msgspec.json.decode(envelope.body, type=shape)
        order = rebuild(work.orders.history(OrderNo(body.order_no)))
    except (msgspec.MsgspecError, OrderNotFound):
        return False
    return _is_done(work, order, body)


def _is_done(work: Any, order: Order, body: Any) -> bool:
    match body:
        case messages.PriceWanted():
            answered = order.price.state not in _ASKED or order.price.version != body.version
            return order.stage in FINAL or answered
        case messages.WorkOrderWanted():
            present = order.work_order and order.work_order.reference == body.reference
            wanted = work.deliveries.get("mes", body.reference) is not None
            return order.stage in FINAL or not present or wanted
        case messages.FloorSaid():
            return _heard(order, body)
        case _:
            return False


def _heard(order: Order, body: messages.FloorSaid) -> bool:
    """Whether the order knows already what the floor says, or more: its words come in order."""
    work = order.work_order
    if work is None or work.reference != body.reference or body.said.word not in _WORDS:
        return False
    known = _KNOWN.get(order.stage, 0 if work.delivered in ARRIVED else -1)
    return known >= _WORDS.index(body.said.word)


def faults_of(envelope: Envelope) -> list[Fault]:
    """What is wrong with an edited envelope, against the shape its kind was promised to have."""
    shape = messages.BODIES.get((envelope.kind, envelope.schema_version))
    if shape is None:
        return [Fault("/body", "unknown", "nobody knows the shape of this kind")]
    try:
        told = msgspec.json.decode(envelope.body)
        body: Any = msgspec.convert(told, shape)
    except UNREADABLE as error:
        return [Fault("/body", "schema", str(error))]
    strangers = sorted(set(told) - set(shape.__struct_fields__))
    faults = [Fault(f"/body/{name}", "unknown", "not part of this kind") for name in strangers]
    if body.order_no != envelope.order_key:
        sentence = "not the order that the message travels for"
        faults.append(Fault("/body/order_no", "other-order", sentence))
    return faults


def schema_of(kind: str | None, schema_version: int) -> Any:
    """The JSON Schema of a kind's body; None for one that nobody knows."""
    shape = messages.BODIES.get((kind or "", schema_version))
    return None if shape is None else msgspec.json.schema(shape)
