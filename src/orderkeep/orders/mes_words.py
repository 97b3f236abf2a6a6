"""What the MES says of a work order, turned into events; never refused, never dropped.

A word ahead of us implies the steps between, recorded as inferred. A word that cannot be is
recorded as diverged and waits for a person.
"""

from orderkeep.kernel.ids import work_order_ref
from orderkeep.orders import events as e
from orderkeep.orders.commands import RecordMesWord
from orderkeep.orders.order import Delivered, Order, Stage
from orderkeep.orders.policy import Policy

_ROAD = ("started", "completed", "packaging", "shipped")
_REACHED = {
    Stage.MANUFACTURING_APPROVED: 0,
    Stage.MANUFACTURING_STARTED: 1,
    Stage.MANUFACTURING_COMPLETED: 2,
    Stage.PACKAGING: 3,
    Stage.SHIPPED: 4,
    Stage.CLOSED: 4,
}
_UNKNOWN_TRACKING = "unknown"


def hear(order: Order, said: RecordMesWord, policy: Policy) -> list[e.OrderEvent]:
    """What a word causes; nothing, when we knew it."""
    work = order.work_order
    if work is None or work.reference != said.reference:
        return _of_another_work_order(order, said)
    if order.stage not in _REACHED:
        return _after_the_end(order, said)
    if said.word in _ROAD:
        return _along_the_road(order, said)
    match said.word:
        case "accepted":
            return _arrival(order, said)
        case "handed_back" if order.stage is Stage.MANUFACTURING_STARTED:
            return [e.HandedBack(said.reason or "", said.operator)]
        case "scrapped":
            return _scrapped(order, said, policy)
        case "recalled" if order.stage is Stage.MANUFACTURING_APPROVED:
            return _recalled(order, said)
        case _:
            return _diverged(order, said)


def _of_another_work_order(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    earlier = {gone.reference for gone in order.earlier_work_orders}
    # The old work order may still say that it is gone; anything else of it cannot be.
    if said.reference in earlier and said.word in {"scrapped", "recalled"}:
        return []
    return _diverged(order, said)


def _after_the_end(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED and said.word in {"recalled", "scrapped"}:
        return []
    return _diverged(order, said)


def _along_the_road(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    reached, heard = _REACHED[order.stage], _ROAD.index(said.word) + 1
    if heard == reached:
        return []
    if heard < reached:
        return _diverged(order, said)
    skipped = [_step(word, said, inferred=True) for word in _ROAD[reached : heard - 1]]
    return [*_arrival(order, said), *skipped, _step(said.word, said, inferred=False)]


def _step(word: str, said: RecordMesWord, *, inferred: bool) -> e.OrderEvent:
    match word:
        case "started":
            return e.WorkStarted(said.operator, inferred)
        case "completed":
            return e.WorkCompleted(said.operator, inferred)
        case "packaging":
            return e.PackingStarted(said.operator, inferred)
        case _:
            tracking_no = said.tracking_no or _UNKNOWN_TRACKING
            return e.OrderShipped(tracking_no, said.carrier, inferred)


def _arrival(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    """Whatever the MES says of a work order proves that it has it."""
    work = order.work_order
    if work is None or work.delivered is Delivered.APPLIED:
        return []
    return [
        e.DeliveryChanged(
            said.system, work.reference, Delivered.APPLIED, "the MES says so", said.mes_id
        )
    ]


def _scrapped(order: Order, said: RecordMesWord, policy: Policy) -> list[e.OrderEvent]:
    done = order.stage in {Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING}
    if said.purpose == "rework" and done and order.rework_no < policy.rework_limit:
        generation = len(order.earlier_work_orders) + 2
        reference = work_order_ref(order.no, generation)
        return [e.ReworkOrdered(said.reason or "", order.rework_no + 1, reference, generation)]
    if said.purpose == "cannot_be_made" and order.stage is Stage.MANUFACTURING_STARTED:
        return [e.SentBackToPricing(said.reason or "", order.price.version + 1)]
    return _diverged(order, said)


def _recalled(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or order.cancel_request is None:
        return _diverged(order, said)
    changed = e.DeliveryChanged(said.system, work.reference, Delivered.RECALLED, said.reason)
    return [changed, e.OrderCancelled(order.cancel_request.reason)]


def _diverged(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    heard = f"{said.reference}: {said.word}"
    if order.diverged == heard:
        return []
    return [e.WordDiverged(said.system, said.reference, heard, str(order.stage))]
