"""Whether what an envelope asks for is there already: told from the order, not from the inbox."""

from typing import Any

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.errors import Fault
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders import messages
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import FINAL, Order, PriceState
from orderkeep.orders.ports import OrderNotFound

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
        case _:
            return False


def faults_of(kind: str, schema_version: int, body: bytes) -> list[Fault]:
    """What is wrong with an edited body, against the shape its kind was promised to have."""
    shape = messages.BODIES.get((kind, schema_version))
    if shape is None:
        return [Fault("/body", "unknown", "nobody knows the shape of this kind")]
    try:
        told = msgspec.json.decode(body)
        msgspec.convert(told, shape)
    except msgspec.MsgspecError as error:
        return [Fault("/body", "schema", str(error))]
    strangers = sorted(set(told) - set(shape.__struct_fields__))
    return [Fault(f"/body/{name}", "unknown", "not part of this kind") for name in strangers]


def schema_of(kind: str | None, schema_version: int) -> Any:
    """The JSON Schema of a kind's body; None for one that nobody knows."""
    shape = messages.BODIES.get((kind or "", schema_version))
    return None if shape is None else msgspec.json.schema(shape)
