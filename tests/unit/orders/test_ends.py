"""Cancelling, holding, returning, closing: and what time has to say."""

from datetime import timedelta

import pytest

from orderkeep.kernel.ids import Ids, OrderNo, work_order_ref
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.announce import ORDER_CANCELLED, RECALL_WANTED, envelopes_for
from orderkeep.orders.ending import OUTCOMES
from orderkeep.orders.order import Delivered, Risk, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.timers import due, timer
from orderkeep.orders.view import board_row, needs_person
from orderkeep.testing.orders import (
    ADMIN,
    BRIDGE,
    DAY,
    HEAD,
    HOUR,
    MINUTE,
    NOON,
    OPERATOR,
    PARTNER,
    POLICY,
    ROAD,
    SELLER,
    SUPPORT,
    WATCH,
    Story,
    a_draft,
    a_story,
)

APPROVED, STARTED = Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED
BEGUN = (STARTED, Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING)


def an_approved(*delivered: Delivered) -> Story:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    story.delivered(*delivered)
    return story


def to_be_cancelled(stage: Stage = APPROVED) -> Story:
    story = a_story(stage)
    story.do(c.CancelOrder("changed mind"), SELLER)
    return story


# --- cancelling -----------------------------------------------------------------------------------


def test_what_was_never_sent_is_cancelled_at_once() -> None:
    for story in (a_draft(), a_story(), a_story(Stage.PRICE_CALCULATED), an_approved()):
        story.do(c.CancelOrder("changed mind"), PARTNER)

        assert story.order.stage is Stage.CANCELLED
        assert story.order.cancelled_because == "changed mind"
        assert story.do(c.CancelOrder("changed mind"), PARTNER) == []


@pytest.mark.parametrize(
    "way",
    [
        [Delivered.SENDING],
        [Delivered.SENDING, Delivered.CONFIRMED],
        [Delivered.SENDING, Delivered.UNCERTAIN],
        [Delivered.SENDING, Delivered.DEAD],
    ],
)
def test_after_the_intent_to_send_it_is_only_asked_for(way: list[Delivered]) -> None:
    story = an_approved(*way)

    story.do(c.CancelOrder("changed mind"))

    assert story.order.stage is APPROVED
    assert story.order.cancel_request is not None
    assert story.do(c.CancelOrder("changed mind")) == []


@pytest.mark.parametrize("proof", [Delivered.RECALLED, Delivered.REJECTED])
def test_proof_that_nothing_is_made_cancels_it(proof: Delivered) -> None:
    story = an_approved(Delivered.SENDING)
    story.do(c.CancelOrder("changed mind"))

    story.delivered(proof)

    assert story.order.stage is Stage.CANCELLED
    assert story.order.cancelled_because == "changed mind"


def test_what_the_mes_refused_is_cancelled_at_once() -> None:
    story = an_approved(Delivered.SENDING, Delivered.REJECTED)

    story.do(c.CancelOrder("changed mind"))

    assert story.order.stage is Stage.CANCELLED


def test_the_mes_itself_may_bring_the_proof() -> None:
    for stage, word in ((APPROVED, "recalled"), (STARTED, "scrapped")):
        story = to_be_cancelled(stage)

        story.mes_says(word)

        assert story.order.stage is Stage.CANCELLED
        cancelled = [o.event for o in story.history if isinstance(o.event, e.OrderCancelled)]
        assert [event.made for event in cancelled] == [stage is STARTED]


def test_cancelled_or_to_be_cancelled_is_never_sent() -> None:
    cancelled, asked = an_approved(), an_approved(Delivered.SENDING, Delivered.UNCERTAIN)
    for story in (cancelled, asked):
        story.do(c.CancelOrder("changed mind"))

        with pytest.raises(TransitionRefused, match="to be cancelled"):
            story.delivered(Delivered.SENDING)


def test_if_the_mes_keeps_it_the_seller_decides() -> None:
    story = to_be_cancelled()
    with pytest.raises(TransitionRefused, match="not answered yet"):
        story.do(c.CancelAnyway("anyway"))

    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)
    owed = due(story.order, POLICY)
    assert (needs_person(story.order), owed and owed.owner) == ("cancel", "seller")
    story.do(c.CancelAnyway("anyway"))

    assert story.order.stage is Stage.CANCELLED
    assert story.do(c.CancelAnyway("anyway")) == []


def test_a_parked_work_order_does_not_keep_the_seller_waiting() -> None:
    story = an_approved(Delivered.SENDING, Delivered.DEAD)
    story.do(c.CancelOrder("changed mind"))

    story.do(c.CancelAnyway("it never arrived"))

    assert story.order.stage is Stage.CANCELLED


def test_a_refusal_after_the_decision_is_not_dropped() -> None:
    story = to_be_cancelled()
    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)
    story.do(c.CancelAnyway("anyway"))

    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)

    assert needs_person(story.order) == "diverged"


def test_a_parcel_that_left_before_the_floor_heard_of_the_end_is_told_to_a_person() -> None:
    story = to_be_cancelled()
    story.do(c.RecordRecallRefused(story.reference, "being packed"), BRIDGE)
    story.do(c.CancelAnyway("anyway"))

    story.mes_says("shipped")

    assert story.order.stage is Stage.CANCELLED
    assert needs_person(story.order) == "diverged"
    assert isinstance(story.history[-1].event, e.WordDiverged)


@pytest.mark.parametrize("word", ["scrapped", "recalled"])
def test_a_refusal_is_settled_once_the_mes_has_ended_the_work(word: str) -> None:
    story = to_be_cancelled()
    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)
    story.do(c.CancelAnyway("anyway"))
    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)

    story.mes_says(word)

    assert needs_person(story.order) is None
    assert story.order.diverged is None


def test_the_end_of_the_work_settles_no_other_difference() -> None:
    story = to_be_cancelled()
    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)
    story.do(c.CancelAnyway("anyway"))
    story.mes_says("completed")

    story.mes_says("scrapped")

    assert needs_person(story.order) == "diverged"


def test_a_refusal_for_another_work_order_means_nothing() -> None:
    story = to_be_cancelled()

    other = work_order_ref(story.order.no, 7)
    assert story.do(c.RecordRecallRefused(other, "being made"), BRIDGE) == []


@pytest.mark.parametrize("stage", BEGUN)
def test_scrapping_begun_work_takes_two(stage: Stage) -> None:
    story = to_be_cancelled(stage)
    owed = due(story.order, POLICY)
    assert (needs_person(story.order), owed and owed.owner) == ("cancel", "head")
    for actor in (SELLER, OPERATOR, SUPPORT):
        with pytest.raises(TransitionRefused, match="head of operators"):
            story.do(c.CancelAnyway("scrap it"), actor)

    story.do(c.CancelAnyway("scrap it"), HEAD)

    assert story.order.stage is Stage.CANCELLED


@pytest.mark.parametrize("asks,confirms", [(HEAD, ADMIN), (ADMIN, HEAD)])
def test_who_asks_does_not_confirm(asks: e.Actor, confirms: e.Actor) -> None:
    story = a_story(STARTED)
    story.do(c.CancelOrder("no metal"), asks)
    with pytest.raises(TransitionRefused, match="not who asked"):
        story.do(c.CancelAnyway("scrap it"), asks)

    story.do(c.CancelAnyway("scrap it"), confirms)

    assert story.order.stage is Stage.CANCELLED


def test_what_nobody_asked_for_is_not_done_anyway() -> None:
    with pytest.raises(TransitionRefused, match="Ask for the cancellation first"):
        a_story(APPROVED).do(c.CancelAnyway("anyway"), HEAD)


@pytest.mark.parametrize("stage", [Stage.SHIPPED, Stage.CLOSED])
def test_what_is_shipped_comes_back_as_a_return(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="open a return"):
        a_story(stage).do(c.CancelOrder("changed mind"))


def test_a_parcel_that_left_ends_the_wish_to_cancel() -> None:
    story = to_be_cancelled(Stage.PACKAGING)

    story.mes_says("shipped", tracking_no="T1")

    assert (story.order.stage, story.order.cancel_request) == (Stage.SHIPPED, None)
    assert any(isinstance(one.event, e.CancelWithdrawn) for one in story.history)


def test_withdrawn_in_time_it_goes_on() -> None:
    story = to_be_cancelled()

    story.do(c.WithdrawCancel("wanted again"))

    assert story.order.cancel_request is None
    assert story.do(c.WithdrawCancel("wanted again")) == []
    story.do(c.ClaimOrder("oleg"), OPERATOR)


@pytest.mark.parametrize("stage", [APPROVED, STARTED])
def test_taken_back_although_wanted_again_it_is_sent_anew(stage: Stage) -> None:
    """The recall was under way when the cancellation was withdrawn: it would never be made."""
    story = to_be_cancelled(stage)
    story.do(c.WithdrawCancel("wanted again"))

    story.delivered(Delivered.RECALLED)

    order = story.order
    assert order.stage is APPROVED
    assert story.reference == work_order_ref(order.no, 2)
    assert order.work_order is not None
    assert order.work_order.delivered is Delivered.PENDING
    assert [work.delivered for work in order.earlier_work_orders] == [Delivered.RECALLED]


def test_taken_back_unasked_it_waits_for_a_person_who_may_approve_it_again() -> None:
    story = a_story(APPROVED)
    story.mes_says("recalled")
    story.do(c.SettleDivergence("deleted by mistake"), SUPPORT)
    assert needs_person(story.order) == "recalled"

    story.do(c.ApproveOrder())

    assert story.reference == work_order_ref(story.order.no, 2)
    assert needs_person(story.order) is None


def test_handed_back_what_is_to_be_cancelled_is_asked_back_again() -> None:
    story = to_be_cancelled(STARTED)
    story.do(c.RecordRecallRefused(story.reference, "being made"), BRIDGE)

    story.mes_says("handed_back")

    assert needs_person(story.order) is None
    assert announced(story)[-1] == RECALL_WANTED


def test_proof_for_rework_cancels_what_is_to_be_cancelled() -> None:
    story = to_be_cancelled(Stage.MANUFACTURING_COMPLETED)
    with pytest.raises(TransitionRefused, match="decide that first"):
        story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)

    story.mes_says("scrapped", purpose="rework")

    assert story.order.stage is Stage.CANCELLED


def test_proof_for_a_new_price_cancels_what_is_to_be_cancelled() -> None:
    story = to_be_cancelled(STARTED)

    story.do(c.SendBackToPricing("too thin", "nothing was cast"), HEAD)

    assert story.order.stage is Stage.CANCELLED


def test_whoever_has_it_is_told_that_it_is_cancelled() -> None:
    story = to_be_cancelled()
    assert announced(story)[-1] == RECALL_WANTED

    story.delivered(Delivered.RECALLED)

    assert announced(story)[-1] == ORDER_CANCELLED


# --- holding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [stage for stage in ROAD if stage is not Stage.CLOSED])
def test_an_open_order_may_rest_and_go_on(stage: Stage) -> None:
    story = a_story(stage)
    hold = c.PlaceHold("ask", "seller", story.now + DAY)

    story.do(hold, OPERATOR)

    assert story.order.hold is not None
    assert story.order.hold.by == "person:oleg"
    owed = due(story.order, POLICY)
    assert (owed and (owed.owner, owed.at)) == ("seller", story.now + DAY)
    assert story.do(hold, OPERATOR) == []
    assert story.do(c.LiftHold("answered")) == [e.HoldLifted("answered")]
    assert story.do(c.LiftHold("answered")) == []


@pytest.mark.parametrize(
    "hold,why",
    [
        (c.PlaceHold("", "seller", NOON + DAY), "reason and an owner"),
        (c.PlaceHold("ask", " ", NOON + DAY), "reason and an owner"),
        (c.PlaceHold("ask", "seller", NOON), "future"),
        (c.PlaceHold("ask", "seller", NOON + DAY, stops_clock=True), "for the client"),
    ],
)
def test_a_hold_has_a_reason_an_owner_and_an_end(hold: c.PlaceHold, why: str) -> None:
    with pytest.raises(TransitionRefused, match=why):
        a_story().do(hold)


def test_one_hold_at_a_time() -> None:
    story = a_story()
    story.do(c.PlaceHold("ask", "seller", NOON + DAY))

    with pytest.raises(TransitionRefused, match="held already"):
        story.do(c.PlaceHold("no metal", "head", NOON + DAY))


def test_a_closed_order_rests_already() -> None:
    story = a_story(Stage.CLOSED)

    with pytest.raises(TransitionRefused, match="closed"):
        story.do(c.PlaceHold("ask", "seller", story.now + DAY))


def test_a_hold_past_its_end_is_late_even_if_it_stopped_the_clock() -> None:
    story = a_story(APPROVED)
    story.do(c.PlaceHold("ask", "client", NOON + DAY, stops_clock=True))

    events = story.do(c.Tick(), WATCH, after=DAY)

    assert events == [e.HoldExpired(), e.RiskChanged(Risk.LATE)]
    assert story.do(c.Tick(), WATCH, after=DAY) == []


def test_the_clock_stands_still_while_the_client_is_waited_for() -> None:
    story = a_story(APPROVED)
    story.do(c.PlaceHold("ask", "client", NOON + 9 * DAY, stops_clock=True))
    story.do(c.LiftHold("answered"), after=3 * DAY)

    owed = due(story.order, POLICY)

    assert story.order.risk is Risk.OK
    assert owed is not None
    assert owed.at == NOON + 3 * DAY + POLICY.norms[APPROVED]


def test_the_clock_runs_while_we_are_waited_for() -> None:
    story = a_story(APPROVED)
    story.do(c.PlaceHold("no metal", "head", NOON + 9 * DAY))

    story.do(c.Tick(), WATCH, after=2 * DAY)

    assert story.order.risk is Risk.LATE


# --- returning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.SHIPPED, Stage.CLOSED])
@pytest.mark.parametrize("outcome", sorted(OUTCOMES - {"replace"}))
def test_a_return_ends_with_an_outcome(stage: Stage, outcome: str) -> None:
    story = a_story(stage)
    story.do(c.OpenReturn("too small"), SUPPORT)
    assert story.do(c.OpenReturn("too small"), SUPPORT) == []
    story.do(c.InspectReturn())
    assert story.do(c.InspectReturn()) == []

    story.do(c.ResolveReturn(outcome))

    assert story.order.return_case is not None
    assert (story.order.return_case.state, story.order.return_case.outcome) == ("resolved", outcome)
    assert story.order.stage is stage


def test_an_open_return_is_open_work_with_an_owner() -> None:
    story = a_story(Stage.CLOSED)

    story.do(c.OpenReturn("too small"), SUPPORT)

    row = board_row(story.order, POLICY, story.now)
    assert (row.is_open, row.due_owner, row.due_at) == (True, "support", story.now + DAY)


def test_a_replacement_is_a_new_order_that_knows_its_origin() -> None:
    story = a_story(Stage.CLOSED)
    story.do(c.OpenReturn("broken"), SUPPORT)
    for outcome, replacement in (("replace", None), ("refund", OrderNo("OK-000022"))):
        with pytest.raises(TransitionRefused, match="names a new order"):
            story.do(c.ResolveReturn(outcome, replacement))

    story.do(c.ResolveReturn("replace", OrderNo("OK-000022")))

    assert story.order.return_case is not None
    assert story.order.return_case.replacement == "OK-000022"


def test_an_outcome_is_one_of_five() -> None:
    story = a_story(Stage.CLOSED)
    story.do(c.OpenReturn("broken"), SUPPORT)

    with pytest.raises(TransitionRefused, match="one of"):
        story.do(c.ResolveReturn("shrug"))


@pytest.mark.parametrize("stage", [s for s in ROAD if s not in {Stage.SHIPPED, Stage.CLOSED}])
def test_only_a_shipped_order_comes_back(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="Only a shipped order"):
        a_story(stage).do(c.OpenReturn("too small"), SUPPORT)


def test_without_a_return_there_is_nothing_to_settle() -> None:
    story = a_story(Stage.CLOSED)

    for command in (c.InspectReturn(), c.ResolveReturn("refund")):
        with pytest.raises(TransitionRefused, match="No return is open"):
            story.do(command)


# --- closing --------------------------------------------------------------------------------------


def test_a_delivered_order_is_closed_once() -> None:
    story = a_story(Stage.SHIPPED)

    assert story.do(c.CloseOrder("delivered"), HEAD) == [e.OrderClosed("delivered")]
    assert story.do(c.CloseOrder("delivered"), HEAD) == []


@pytest.mark.parametrize("stage", ROAD[:-2])
def test_only_a_shipped_order_is_closed(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="shipped order is closed"):
        a_story(stage).do(c.CloseOrder("delivered"), HEAD)


def test_an_order_closes_by_itself_two_weeks_after_shipping() -> None:
    story = a_story(Stage.SHIPPED)
    assert timer(story.order, POLICY) == NOON + 14 * DAY

    assert story.do(c.Tick(), WATCH, after=14 * DAY) == [e.OrderClosed("timer")]


def test_neither_an_open_return_nor_a_hold_lets_it_close() -> None:
    returned, held = a_story(Stage.SHIPPED), a_story(Stage.SHIPPED)
    returned.do(c.OpenReturn("too small"), SUPPORT)
    held.do(c.PlaceHold("lost parcel?", "support", NOON + 30 * DAY))

    for story in (returned, held):
        assert story.do(c.Tick(), WATCH, after=20 * DAY) == []
        with pytest.raises(TransitionRefused):
            story.do(c.CloseOrder("delivered"), HEAD)


# --- risk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [s for s in ROAD if s not in {Stage.SHIPPED, Stage.CLOSED}])
def test_a_stage_is_at_risk_and_then_late(stage: Stage) -> None:
    story = a_story(stage)
    norm = POLICY.norms[stage]

    assert story.do(c.Tick(), WATCH, after=norm * 0.8 - timedelta(microseconds=1)) == []
    at_risk = story.do(c.Tick(), WATCH, after=timedelta(microseconds=1))
    assert e.RiskChanged(Risk.AT_RISK) in at_risk
    late = story.do(c.Tick(), WATCH, after=norm * 0.2)
    assert e.RiskChanged(Risk.LATE) in late


def test_the_promise_is_at_risk_whatever_the_stage_says() -> None:
    story = a_story()
    story.do(c.ChangePromise(NOON + 10 * MINUTE, "wedding"))

    story.do(c.Tick(), WATCH, after=8 * MINUTE)

    assert story.order.risk is Risk.AT_RISK


def test_a_step_in_time_ends_the_risk_in_the_same_decision() -> None:
    story = a_story()
    story.do(c.Tick(), WATCH, after=HOUR)
    assert story.order.risk is Risk.LATE

    assert e.RiskChanged(Risk.OK) in story.price()


def test_a_later_promise_ends_the_risk() -> None:
    story = a_story(APPROVED)
    story.do(c.ChangePromise(NOON + HOUR, "wedding"))
    story.do(c.Tick(), WATCH, after=HOUR)

    story.do(c.ChangePromise(NOON + 30 * DAY, "agreed"))

    assert story.order.risk is Risk.OK


def test_what_is_over_is_not_late() -> None:
    story = a_story()
    story.do(c.Tick(), WATCH, after=HOUR)

    story.do(c.CancelOrder("too slow"))

    assert story.order.risk is Risk.OK
    assert timer(story.order, POLICY) is None


# --- helpers --------------------------------------------------------------------------------------


def announced(story: Story) -> list[str]:
    """The envelopes of the latest decision, as the master would make them."""
    latest = [one for one in story.history if one.at == story.history[-1].at]
    return [one.kind for one in envelopes_for(story.order, latest, Ids())]
