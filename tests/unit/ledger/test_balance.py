"""Every accepted order is in exactly one class of the balance."""

from datetime import timedelta
from itertools import product

import pytest

from orderkeep.ledger.balance import Class, Movers, Standing, classify, is_moving, stranded
from orderkeep.orders import commands as c
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.order import ARRIVED, DRAFT, Delivered, PriceState, Stage
from orderkeep.orders.view import needs_person
from orderkeep.testing.orders import NOON, Story, a_draft, a_story

NOTHING = Movers(asked=False, on_its_way=False, travelling=frozenset())


def standing(story: Story) -> Standing:
    order = story.order
    state = order.work_order.delivered if order.work_order else None
    held, person = order.hold is not None, needs_person(order) is not None
    return Standing(order.stage, order.price.state, state, held, person)


def approved(state: Delivered) -> Story:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    story.delivered(*([Delivered.SENDING] if state is not Delivered.PENDING else []), state)
    return story


@pytest.mark.parametrize(
    "state, class_",
    [
        (Delivered.PENDING, Class.IN_FLIGHT),
        (Delivered.SENDING, Class.IN_FLIGHT),
        (Delivered.CONFIRMED, Class.AT_MES),
        (Delivered.RECEIVED, Class.AT_MES),
        (Delivered.APPLIED, Class.AT_MES),
        (Delivered.UNCERTAIN, Class.UNCERTAIN),
        (Delivered.REJECTED, Class.QUARANTINED),
        (Delivered.DEAD, Class.QUARANTINED),
        (Delivered.DIVERGED, Class.QUARANTINED),
    ],
)
def test_the_way_to_the_mes_decides(state: Delivered, class_: Class) -> None:
    assert classify(standing(approved(state))) is class_


@pytest.mark.parametrize("stage", [Stage.SHIPPED, Stage.CLOSED, Stage.PACKAGING])
def test_what_was_made_stays_at_the_mes(stage: Stage) -> None:
    assert classify(standing(a_story(stage))) is Class.AT_MES


def test_a_cancelled_order_counts_by_whether_it_was_made() -> None:
    cancelled = Standing(Stage.CANCELLED, "ready", "applied", held=False, needs_person=False)

    assert classify(cancelled) is Class.CANCELLED
    made = Standing(Stage.CANCELLED, "ready", "applied", held=False, needs_person=False, made=True)
    assert classify(made) is Class.AT_MES


def test_a_priced_order_waits_for_its_seller() -> None:
    assert classify(standing(a_story(Stage.PRICE_CALCULATED))) is Class.WAITING


def test_a_held_order_waits_whatever_else_it_does() -> None:
    story = a_story(Stage.SUBMITTED)
    story.do(c.PlaceHold("ask", "seller", NOON + timedelta(days=1)))

    assert classify(standing(story)) is Class.WAITING


def test_a_draft_is_in_no_class() -> None:
    assert classify(standing(a_draft())) is None


def test_classes_are_disjoint_and_whatever_can_be_is_in_one() -> None:
    """Only a draft, and what can never be, rests nowhere."""
    states = [*Delivered, None]
    for stage, price, state in product(Stage, PriceState, states):
        order = Standing(stage, price, state, held=False, needs_person=False)
        if classify(order) is None:
            assert stage in DRAFT or (
                stage not in {Stage.SHIPPED, Stage.CLOSED}
                and state not in ARRIVED
                and not is_moving(order)
            )


def test_a_price_question_needs_somebody_who_is_asked() -> None:
    order = standing(a_story(Stage.SUBMITTED))

    assert stranded(order, NOTHING) is not None
    assert stranded(order, Movers(True, False, frozenset())) is None
    assert stranded(order, Movers(False, False, frozenset({PRICE_WANTED}))) is None
    assert stranded(order, Movers(False, True, frozenset({WORK_ORDER_WANTED}))) is not None


def test_a_pending_work_order_needs_somebody_who_sends_it() -> None:
    order = standing(approved(Delivered.PENDING))

    assert stranded(order, NOTHING) is not None
    assert stranded(order, Movers(False, True, frozenset())) is None
    assert stranded(order, Movers(False, False, frozenset({WORK_ORDER_WANTED}))) is None
    assert stranded(order, Movers(True, False, frozenset({PRICE_WANTED}))) is not None


def test_a_dead_letter_puts_an_order_in_flight_aside() -> None:
    order = Standing("SUBMITTED", "queued", None, held=False, needs_person=False, parked=True)

    assert classify(order) is Class.QUARANTINED
