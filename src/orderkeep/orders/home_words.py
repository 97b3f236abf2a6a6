"""What the home of a mirrored order says of it, turned into events: ours follows and never leads.

A word ahead of us implies the steps between, recorded as inferred. A word behind us was said
before, or has been overtaken: it causes nothing. What cannot be is recorded as diverged.
"""

from orderkeep.orders import events as e
from orderkeep.orders.commands import RecordHomeWord
from orderkeep.orders.home import is_made_here
from orderkeep.orders.mes_words import UNKNOWN_TRACKING, diverge
from orderkeep.orders.order import Order, Stage, return_is_open, work_was_done
from orderkeep.orders.refusals import Context

ACCEPTED, CANCELLED = "accepted", "cancelled"
_ROAD = ("approved", "started", "completed", "packaging", "shipped", "closed")
WORDS = (ACCEPTED, *_ROAD, CANCELLED)
"""What a home may say; ``accepted`` is everything before the approval, which is priced here."""

_REACHED = {
    Stage.SUBMITTED: 0,
    Stage.PRICE_CALCULATED: 0,
    Stage.MANUFACTURING_APPROVED: 1,
    Stage.MANUFACTURING_STARTED: 2,
    Stage.MANUFACTURING_COMPLETED: 3,
    Stage.PACKAGING: 4,
    Stage.SHIPPED: 5,
    Stage.CLOSED: 6,
}
_AWAY = frozenset({Stage.SHIPPED, Stage.CLOSED})
_BY_HOME = "shop"
"""Why something ended, where the home gave no reason of its own."""


def follow(order: Order, said: RecordHomeWord, context: Context) -> list[e.OrderEvent]:
    """What a word causes; nothing, when we are as far."""
    if is_made_here(order.home):
        return _of_ours(order, said)
    if order.stage is Stage.CANCELLED:
        return _after_the_end(order, said, context)
    if said.word == CANCELLED:
        return _cancelled(order, said)
    if order.stage not in _REACHED or said.word not in WORDS:
        return _diverged(order, said)
    return _along_the_road(order, said)


def _of_ours(order: Order, said: RecordHomeWord) -> list[e.OrderEvent]:
    """It is at home here and obeys nobody else; that it is given up there, a person has to know."""
    given_up = said.word == CANCELLED and order.stage is not Stage.CANCELLED
    return _diverged(order, said) if given_up else []


def _after_the_end(order: Order, said: RecordHomeWord, context: Context) -> list[e.OrderEvent]:
    """Cancelled by its home, another word is an older one; cancelled by us, it goes on there."""
    same = said.word == CANCELLED or order.cancelled_by == str(context.actor)
    return [] if same else _diverged(order, said)


def _cancelled(order: Order, said: RecordHomeWord) -> list[e.OrderEvent]:
    if order.stage in _AWAY:
        return _diverged(order, said)
    return [e.OrderCancelled(said.reason or _BY_HOME, made=work_was_done(order))]


def _along_the_road(order: Order, said: RecordHomeWord) -> list[e.OrderEvent]:
    reached = _REACHED[order.stage]
    heard = 0 if said.word == ACCEPTED else _ROAD.index(said.word) + 1
    if heard <= reached:
        return []
    if said.word == "closed" and return_is_open(order):
        return _diverged(order, said)
    words = _ROAD[reached:heard]
    steps = [_step(word, said, inferred=word != said.word) for word in words]
    return [*_no_rest(order, words), *steps]


def _no_rest(order: Order, words: tuple[str, ...]) -> list[e.OrderEvent]:
    """It was held for a price, a file or an end that nobody waits for any more."""
    over = order.hold is not None and {"approved", "closed"} & {*words}
    return [e.HoldLifted("home")] if over else []


def _step(word: str, said: RecordHomeWord, *, inferred: bool) -> e.OrderEvent:
    match word:
        case "approved":
            return e.ApprovedElsewhere(inferred)
        case "started":
            return e.WorkStarted(inferred=inferred)
        case "completed":
            return e.WorkCompleted(inferred=inferred)
        case "packaging":
            return e.PackingStarted(inferred=inferred)
        case "shipped":
            return e.OrderShipped(said.tracking_no or UNKNOWN_TRACKING, said.carrier, inferred)
        case _:
            return e.OrderClosed(_BY_HOME)


def _diverged(order: Order, said: RecordHomeWord) -> list[e.OrderEvent]:
    return diverge(order, said.system, order.no, said.word)
