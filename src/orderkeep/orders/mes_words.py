"""What the MES says of a work order, turned into events; never refused, never dropped.

A word ahead of us implies the steps between, recorded as inferred. A word that cannot be is
recorded as diverged and waits for a person.
"""

from orderkeep.kernel.ids import work_order_ref
from orderkeep.orders import events as e
from orderkeep.orders import sentences as say
from orderkeep.orders.commands import RecordMesWord
from orderkeep.orders.order import (
    MAKING,
    Delivered,
    Order,
    Stage,
    next_generation,
    work_was_done,
)
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
_STILL_OURS = frozenset({Stage.MANUFACTURING_APPROVED, *MAKING})
_GONE = frozenset({"scrapped", "recalled"})
_BEFORE_IT_WAS_GONE = frozenset({"accepted", "started", "handed_back"})
"""What our floor may have said of a work order that it let us take back: nobody had it in hand."""
NOT_GIVEN_BACK = say.NOT_GIVEN_BACK()
UNKNOWN_TRACKING = "unknown"
_PROOF = "the MES says that it is scrapped"


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
        case "accepted" if not _was_begun(order):
            return _arrival(order, said)
        case "handed_back" if order.stage is Stage.MANUFACTURING_APPROVED:
            return _arrival(order, said)  # It waits there again, as we knew or might have guessed.
        case "handed_back" if order.stage is Stage.MANUFACTURING_STARTED:
            return [*_arrival(order, said), e.HandedBack(said.reason or "", said.operator)]
        case "scrapped" | "recalled" if order.stage in _STILL_OURS:
            return _gone(order, said, policy)
        case _:
            return _diverged(order, said)


def _was_begun(order: Order) -> bool:
    """Whether the current work order was begun: after rework the stage is ahead of it."""
    if order.stage is Stage.MANUFACTURING_STARTED:
        return order.work_order is not None and order.work_order.begun
    return _REACHED[order.stage] > 0


def _of_another_work_order(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    earlier = {gone.reference for gone in order.earlier_work_orders}
    # The old work order may still say that it is gone; anything else of it cannot be.
    if said.reference in earlier and said.word in _GONE:
        return []
    if said.reference in earlier and said.system == "floor" and said.word in _BEFORE_IT_WAS_GONE:
        return []  # Our own floor speaks in order: it said so before it gave the work order back.
    return _diverged(order, said)


def _after_the_end(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    if order.stage is Stage.CANCELLED and said.word in _GONE:
        return _given_back_after_all(order, said)
    return _diverged(order, said)


def _given_back_after_all(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    """Gone is gone: that it was refused a moment before is nobody's trouble any more."""
    refused = order.diverged == f"{said.reference}: {NOT_GIVEN_BACK}"
    return [e.DivergenceSettled("gone")] if refused else []


def _along_the_road(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    reached, heard = _REACHED[order.stage], _ROAD.index(said.word) + 1
    if heard < reached:
        return _diverged(order, said)
    if said.word == "started" == _ROAD[reached - 1]:
        return [*_arrival(order, said), *_started_here(order, said)]
    if heard == reached:
        return _arrival(order, said)
    if order.stage is Stage.MANUFACTURING_STARTED and not _was_begun(order):
        reached = 0
    skipped = [_step(word, said, inferred=True) for word in _ROAD[reached : heard - 1]]
    step = _step(said.word, said, inferred=False)
    return [*_arrival(order, said), *skipped, *_too_late_to_cancel(order, step), step]


def _too_late_to_cancel(order: Order, step: e.OrderEvent) -> list[e.OrderEvent]:
    """A parcel on its way comes back as a return; whoever wanted it cancelled is told."""
    if order.cancel_request and isinstance(step, e.OrderShipped):
        return [e.CancelWithdrawn("shipped_first")]
    return []


def _started_here(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    """Started, as the order's stage is: news after rework, or when another operator has it."""
    if not _was_begun(order):
        return [_step("started", said, inferred=False)]
    holder = order.claim.operator if order.claim else None
    if said.operator and said.operator != holder:
        return [e.OrderReassigned(said.operator, "mes")]
    return []


def _step(word: str, said: RecordMesWord, *, inferred: bool) -> e.OrderEvent:
    match word:
        case "started":
            return e.WorkStarted(said.operator, inferred)
        case "completed":
            return e.WorkCompleted(said.operator, inferred)
        case "packaging":
            return e.PackingStarted(said.operator, inferred)
        case _:
            tracking_no = said.tracking_no or UNKNOWN_TRACKING
            return e.OrderShipped(tracking_no, said.carrier, inferred)


def _arrival(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    """Whatever the MES says of a work order proves that it has it."""
    work = order.work_order
    if work is None or work.delivered is Delivered.APPLIED:
        return []
    return [
        e.DeliveryChanged(
            said.system, work.reference, Delivered.APPLIED, say.MES_SAYS_SO(), said.mes_id
        )
    ]


def _gone(order: Order, said: RecordMesWord, policy: Policy) -> list[e.OrderEvent]:
    """The MES says that the work order is no more: what was wanted of that can follow."""
    if order.cancel_request:
        cancelled = e.OrderCancelled(order.cancel_request.reason, made=work_was_done(order))
        return [*_recalled(order, said), cancelled]
    done = order.stage in {Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING}
    if said.purpose == "rework" and done and order.rework_no < policy.rework_limit:
        return [_rework(order, said)]
    if said.purpose == "cannot_be_made" and order.stage is Stage.MANUFACTURING_STARTED:
        return [e.SentBackToPricing(said.reason or "", order.price.version + 1, _PROOF)]
    # Nobody asked for that; a person has to say how it goes on.
    return [*_recalled(order, said), *_diverged(order, said)]


def _rework(order: Order, said: RecordMesWord) -> e.ReworkOrdered:
    generation = next_generation(order)
    reference = work_order_ref(order.no, generation)
    return e.ReworkOrdered(said.reason or "", order.rework_no + 1, reference, generation, _PROOF)


def _recalled(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    work = order.work_order
    if work is None or work.delivered is Delivered.RECALLED:
        return []
    return [e.DeliveryChanged(said.system, work.reference, Delivered.RECALLED, said.reason)]


def _diverged(order: Order, said: RecordMesWord) -> list[e.OrderEvent]:
    return diverge(order, said.system, said.reference, said.word)


def diverge(order: Order, system: str, reference: str, word: str) -> list[e.OrderEvent]:
    """Keep and show what cannot be; nothing, when it is open or a person has settled it."""
    heard = f"{reference}: {word}"
    if heard == order.diverged or heard in order.settled:
        return []
    return [e.WordDiverged(system, reference, heard, str(order.stage))]
