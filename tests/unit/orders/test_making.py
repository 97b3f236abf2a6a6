"""From the approval to the parcel: the way to the MES, claims, the MES's words, rework."""

import pytest

from orderkeep.kernel.ids import WorkOrderRef, work_order_ref
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.order import ARRIVED, Delivered, PriceState, Risk, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.timers import due
from orderkeep.orders.view import is_claimable, needs_person
from orderkeep.testing.orders import (
    ADMIN,
    BRIDGE,
    DAY,
    HEAD,
    HOUR,
    MINUTE,
    NOON,
    OPERATOR,
    OTHER_OPERATOR,
    POLICY,
    ROAD,
    SELLER,
    WATCH,
    Story,
    a_story,
)

APPROVED, STARTED = Stage.MANUFACTURING_APPROVED, Stage.MANUFACTURING_STARTED
COMPLETED, PACKAGING = Stage.MANUFACTURING_COMPLETED, Stage.PACKAGING
WORK = (APPROVED, STARTED, COMPLETED, PACKAGING)


def an_approved(*delivered: Delivered) -> Story:
    """Approved, and so far on its way to the MES."""
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    story.delivered(*delivered)
    return story


def state(story: Story) -> Delivered | None:
    return story.order.work_order.delivered if story.order.work_order else None


# --- on the way to the MES ------------------------------------------------------------------------


def test_the_way_of_a_work_order() -> None:
    story = an_approved()
    for step in (Delivered.SENDING, Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED):
        story.delivered(step)
        assert state(story) is step


def test_told_twice_it_is_told_once() -> None:
    story = an_approved(Delivered.SENDING)

    assert story.delivered(Delivered.SENDING) == []


@pytest.mark.parametrize("known", sorted(ARRIVED))
@pytest.mark.parametrize(
    "late", [Delivered.PENDING, Delivered.UNCERTAIN, Delivered.REJECTED, Delivered.CONFIRMED]
)
def test_an_answer_overtaken_by_the_mes_itself_takes_nothing_back(
    known: Delivered, late: Delivered
) -> None:
    """The workshop's word may come through the inbox before our own call returns."""
    story = an_approved(Delivered.SENDING, known)

    assert story.delivered(late) == []
    assert state(story) is known


def test_a_late_answer_still_brings_the_number_at_the_mes() -> None:
    story = an_approved(Delivered.SENDING)
    story.mes_says("accepted")

    story.do(c.RecordDelivery("mes", story.reference, Delivered.CONFIRMED, mes_id="J-17"), BRIDGE)

    assert story.order.work_order is not None
    assert (state(story), story.order.work_order.mes_id) == (Delivered.APPLIED, "J-17")


@pytest.mark.parametrize(
    "there",
    [*sorted(ARRIVED), Delivered.REJECTED, Delivered.DEAD, Delivered.DIVERGED],
)
def test_only_what_is_pending_or_uncertain_is_sent(there: Delivered) -> None:
    story = an_approved(Delivered.SENDING, there)

    with pytest.raises(TransitionRefused, match="nothing to send"):
        story.delivered(Delivered.SENDING)


def test_an_uncertain_one_may_be_repeated_where_the_mes_makes_that_safe() -> None:
    story = an_approved(Delivered.SENDING, Delivered.UNCERTAIN)

    story.delivered(Delivered.SENDING)

    assert state(story) is Delivered.SENDING


def test_a_held_order_is_not_sent() -> None:
    story = an_approved()
    story.do(c.PlaceHold("ask", "seller", NOON + DAY))

    with pytest.raises(TransitionRefused, match="held"):
        story.delivered(Delivered.SENDING)


def test_a_stranger_among_references_is_refused() -> None:
    with pytest.raises(TransitionRefused, match="not the current"):
        an_approved().do(
            c.RecordDelivery("mes", WorkOrderRef("OK-000022"), Delivered.CONFIRMED), BRIDGE
        )


def test_news_of_an_earlier_work_order_changes_nothing_and_sends_nothing() -> None:
    story = a_story(COMPLETED)
    old = story.reference
    story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)

    assert story.do(c.RecordDelivery("mes", old, Delivered.UNCERTAIN), BRIDGE) == []
    with pytest.raises(TransitionRefused):
        story.do(c.RecordDelivery("mes", old, Delivered.SENDING), BRIDGE)


@pytest.mark.parametrize("word", ["accepted", "started", "handed_back"])
def test_what_our_floor_said_before_it_gave_a_work_order_back_is_no_news(word: str) -> None:
    """Started and handed back, then taken back: the last overtook the first two on the way."""
    story = a_story(COMPLETED)
    old = story.reference
    story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)

    assert story.do(c.RecordMesWord("floor", old, word), BRIDGE) == []
    assert story.do(c.RecordMesWord("mes", old, word), BRIDGE) != []


@pytest.mark.parametrize(
    "stuck", [Delivered.UNCERTAIN, Delivered.REJECTED, Delivered.DEAD, Delivered.DIVERGED]
)
def test_what_is_stuck_waits_for_a_person(stuck: Delivered) -> None:
    story = an_approved(Delivered.SENDING, stuck)

    owed = due(story.order, POLICY)

    assert needs_person(story.order) == str(stuck)
    assert owed is not None
    assert (owed.owner, owed.at) == ("support", story.now + 10 * MINUTE)


def test_what_the_mes_refused_goes_back_to_pricing_and_comes_again_under_another_reference() -> (
    None
):
    story = an_approved(Delivered.SENDING, Delivered.REJECTED)

    story.do(c.SendBackToPricing("no such metal", "the MES refused it"), HEAD)
    story.price()
    story.do(c.ApproveOrder())

    assert story.reference == work_order_ref(story.order.no, 2)


# --- claims ---------------------------------------------------------------------------------------


def test_an_operator_takes_what_is_at_the_mes() -> None:
    story = a_story(APPROVED)

    story.do(c.ClaimOrder("oleg"), OPERATOR)

    assert story.order.claim is not None
    assert (story.order.claim.operator, story.order.claim.until) == ("oleg", story.now + 4 * HOUR)
    assert story.do(c.ClaimOrder("oleg"), OPERATOR) == []


def test_nobody_gets_what_another_has_taken() -> None:
    story = a_story(APPROVED)
    story.do(c.ClaimOrder("oleg"), OPERATOR)

    with pytest.raises(TransitionRefused, match="oleg has taken it"):
        story.do(c.ClaimOrder("olga"), OTHER_OPERATOR)


@pytest.mark.parametrize("way", [[], [Delivered.SENDING], [Delivered.SENDING, Delivered.UNCERTAIN]])
def test_what_is_not_at_the_mes_cannot_be_taken(way: list[Delivered]) -> None:
    story = an_approved(*way)

    assert not is_claimable(story.order)
    with pytest.raises(TransitionRefused, match="cannot be taken now"):
        story.do(c.ClaimOrder("oleg"), OPERATOR)


def test_neither_held_nor_unwanted_orders_are_taken() -> None:
    held, unwanted = a_story(APPROVED), a_story(APPROVED)
    held.do(c.PlaceHold("ask", "seller", NOON + DAY))
    unwanted.do(c.CancelOrder("changed mind"))

    for story in (held, unwanted):
        with pytest.raises(TransitionRefused):
            story.do(c.ClaimOrder("oleg"), OPERATOR)


@pytest.mark.parametrize("stage", [stage for stage in ROAD if stage is not APPROVED])
def test_only_what_waits_in_the_workshop_is_taken(stage: Stage) -> None:
    with pytest.raises(TransitionRefused):
        a_story(stage).do(c.ClaimOrder("olga"), OTHER_OPERATOR)


def test_a_claim_ends_by_itself_before_the_start() -> None:
    story = a_story(APPROVED)
    story.do(c.ClaimOrder("oleg"), OPERATOR)

    story.do(c.Tick(), WATCH, after=4 * HOUR)

    assert story.order.claim is None
    assert is_claimable(story.order)


def test_a_started_order_never_leaves_its_operator_by_a_timer() -> None:
    """A casting cools overnight."""
    story = a_story(STARTED)

    story.do(c.Tick(), WATCH, after=4 * DAY)

    assert story.order.claim is not None
    assert (story.order.claim.operator, story.order.risk) == ("oleg", Risk.AT_RISK)


@pytest.mark.parametrize("actor,may", [(OPERATOR, True), (HEAD, True), (ADMIN, True)])
def test_the_holder_and_the_heads_give_a_claim_back(actor: e.Actor, *, may: bool) -> None:
    story = a_story(APPROVED)
    story.do(c.ClaimOrder("oleg"), OPERATOR)

    story.do(c.ReleaseClaim("lunch"), actor)

    assert (story.order.claim is None) is may
    assert story.do(c.ReleaseClaim("lunch"), actor) == []


@pytest.mark.parametrize("actor", [OTHER_OPERATOR, SELLER])
def test_nobody_else_gives_it_back(actor: e.Actor) -> None:
    story = a_story(APPROVED)
    story.do(c.ClaimOrder("oleg"), OPERATOR)

    with pytest.raises(TransitionRefused, match="oleg has taken it"):
        story.do(c.ReleaseClaim("lunch"), actor)


def test_begun_work_is_handed_back_not_released() -> None:
    with pytest.raises(TransitionRefused, match="hand it back"):
        a_story(STARTED).do(c.ReleaseClaim("lunch"), OPERATOR)


def test_the_head_gives_an_order_to_another() -> None:
    taken, started = a_story(APPROVED), a_story(STARTED)
    taken.do(c.ClaimOrder("oleg"), OPERATOR)

    for story in (taken, started):
        story.do(c.ReassignOrder("olga", "ill"), HEAD)
        assert story.order.claim is not None
        assert story.order.claim.operator == "olga"
        assert story.do(c.ReassignOrder("olga", "ill"), HEAD) == []
    assert started.order.claim is not None
    assert started.order.claim.until is None


def test_what_nobody_holds_is_not_reassigned() -> None:
    with pytest.raises(TransitionRefused, match="Nobody holds it"):
        a_story(APPROVED).do(c.ReassignOrder("olga", "ill"), HEAD)


# --- the MES's words ------------------------------------------------------------------------------


def test_the_words_lead_along_the_road() -> None:
    story = a_story(APPROVED)
    for word, stage in (
        ("started", STARTED),
        ("completed", COMPLETED),
        ("packaging", PACKAGING),
        ("shipped", Stage.SHIPPED),
    ):
        story.mes_says(word, tracking_no="T1", carrier="post")
        assert story.order.stage is stage
        assert story.mes_says(word) == []
    assert story.order.shipment is not None
    assert (story.order.shipment.tracking_no, story.order.shipment.carrier) == ("T1", "post")


def test_a_word_ahead_implies_the_steps_between() -> None:
    story = a_story(APPROVED)

    events = story.mes_says("packaging", operator="oleg")

    assert events == [
        e.WorkStarted("oleg", inferred=True),
        e.WorkCompleted("oleg", inferred=True),
        e.PackingStarted("oleg"),
    ]


def test_whatever_the_mes_says_proves_that_it_has_it() -> None:
    story = an_approved(Delivered.SENDING, Delivered.UNCERTAIN)

    story.mes_says("started", operator="oleg")

    assert (state(story), story.order.stage) == (Delivered.APPLIED, STARTED)


@pytest.mark.parametrize(
    "stage,word",
    [
        (STARTED, "accepted"),
        (COMPLETED, "started"),
        (PACKAGING, "handed_back"),
        (Stage.SHIPPED, "packaging"),
        (Stage.CLOSED, "scrapped"),
        (APPROVED, "melted"),
        (APPROVED, "recalled"),
        (COMPLETED, "scrapped"),
    ],
)
def test_what_cannot_be_is_kept_and_shown(stage: Stage, word: str) -> None:
    story = a_story(stage)

    events = story.mes_says(word)

    assert isinstance(events[-1], e.WordDiverged)
    assert story.order.stage is stage
    assert story.order.diverged == f"{story.reference}: {word}"
    assert needs_person(story.order) == "diverged"


def test_what_a_person_has_settled_is_no_news_when_it_is_said_again() -> None:
    """A MES that is asked every few seconds says the same every few seconds."""
    story = a_story(COMPLETED)
    story.mes_says("started")
    assert story.mes_says("started") == []

    story.do(c.SettleDivergence("a stale answer"), ADMIN)

    assert needs_person(story.order) is None
    assert story.mes_says("started") == []
    assert story.do(c.SettleDivergence("again"), ADMIN) == []
    assert story.mes_says("melted") != []


def test_a_word_of_a_stranger_is_kept_too() -> None:
    story = a_story(APPROVED)

    story.do(c.RecordMesWord("mes", "OK-999990/7", "started"))

    assert story.order.diverged == "OK-999990/7: started"


def test_a_cancelled_order_that_is_made_after_all_asks_for_a_person() -> None:
    story = a_story(APPROVED)
    story.do(c.CancelOrder("changed mind"))
    story.delivered(Delivered.RECALLED)

    story.mes_says("started")

    assert story.order.stage is Stage.CANCELLED
    assert needs_person(story.order) == "diverged"


@pytest.mark.parametrize("word", ["recalled", "scrapped"])
def test_a_cancelled_order_that_leaves_the_mes_is_as_expected(word: str) -> None:
    story = a_story(APPROVED)
    story.do(c.CancelOrder("changed mind"))
    story.delivered(Delivered.RECALLED)

    assert story.mes_says(word) == []


def test_the_mes_knows_who_works() -> None:
    story = a_story(STARTED)

    story.mes_says("started", operator="olga")

    assert story.order.claim is not None
    assert story.order.claim.operator == "olga"


# --- handed back ----------------------------------------------------------------------------------


def test_handed_back_it_is_free_and_keeps_its_place() -> None:
    story = a_story(APPROVED)
    before = due(story.order, POLICY)
    story.mes_says("started", operator="oleg")
    story.now += DAY

    story.mes_says("handed_back", operator="oleg", reason="no metal")

    assert (story.order.stage, story.order.claim) == (APPROVED, None)
    assert is_claimable(story.order)
    assert due(story.order, POLICY) == before


def test_handed_back_said_again_is_no_news() -> None:
    """A MES that is asked for its status says it until somebody starts."""
    story = a_story(STARTED)
    story.mes_says("handed_back")

    assert story.mes_says("handed_back") == []


def test_handed_back_it_is_late_if_it_was() -> None:
    story = a_story(APPROVED)
    story.mes_says("started", operator="oleg")
    story.now += 3 * DAY

    story.mes_says("handed_back")

    assert story.order.risk is Risk.LATE


# --- rework ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [COMPLETED, PACKAGING])
def test_rework_makes_it_again_under_a_new_reference(stage: Stage) -> None:
    story = a_story(stage)

    story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)

    order = story.order
    assert (order.stage, order.rework_no) == (STARTED, 1)
    assert story.reference == work_order_ref(order.no, 2)
    assert state(story) is Delivered.PENDING
    assert order.earlier_work_orders[0].delivered is Delivered.RECALLED


@pytest.mark.parametrize("stage", [s for s in ROAD if s not in {COMPLETED, PACKAGING}])
def test_only_a_finished_piece_is_made_again(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="finished piece"):
        a_story(stage).do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)


def test_without_proof_there_is_no_second_piece() -> None:
    with pytest.raises(TransitionRefused, match="how it is known"):
        a_story(COMPLETED).do(c.OrderRework("scratched", " "), OPERATOR)
    with pytest.raises(TransitionRefused, match="how it is known"):
        a_story(STARTED).do(c.SendBackToPricing("too thin", ""), HEAD)


def test_three_times_is_enough() -> None:
    story = a_story(COMPLETED)
    for n in (2, 3, 4):
        story.mes_says("scrapped", purpose="rework", reason="scratched")
        assert story.reference == work_order_ref(story.order.no, n)
        story.delivered(Delivered.SENDING, Delivered.CONFIRMED)
        story.mes_says("completed")

    with pytest.raises(TransitionRefused, match="too often"):
        story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)
    story.mes_says("scrapped", purpose="rework")
    assert needs_person(story.order) == "diverged"


def test_a_piece_that_is_gone_once_too_often_is_made_again_when_a_seller_approves() -> None:
    """Scrapped beyond the limit, it could only be cancelled: who wanted it began anew."""
    story = a_story(COMPLETED)
    for _ in range(3):
        story.mes_says("scrapped", purpose="rework")
        story.delivered(Delivered.SENDING, Delivered.CONFIRMED)
        story.mes_says("completed")
    story.mes_says("scrapped", purpose="rework")
    story.do(c.SettleDivergence("seen"), HEAD)
    assert needs_person(story.order) == "recalled"

    story.do(c.ApproveOrder(), SELLER)

    assert (story.order.stage, story.order.rework_no) == (STARTED, 4)
    assert story.reference == work_order_ref(story.order.no, 5)
    assert state(story) is Delivered.PENDING
    story.delivered(Delivered.SENDING, Delivered.CONFIRMED)
    story.mes_says("shipped")
    assert story.order.stage is Stage.SHIPPED


def test_a_piece_that_is_gone_unasked_while_it_is_made_is_begun_anew() -> None:
    story = a_story(STARTED)
    story.mes_says("scrapped")

    story.do(c.ApproveOrder(), SELLER)

    assert story.order.stage is Stage.MANUFACTURING_APPROVED
    assert story.reference == work_order_ref(story.order.no, 2)
    assert state(story) is Delivered.PENDING


@pytest.mark.parametrize("stage", [STARTED, COMPLETED, PACKAGING])
def test_a_piece_that_is_there_is_not_approved_once_more(stage: Stage) -> None:
    with pytest.raises(TransitionRefused):
        a_story(stage).do(c.ApproveOrder(), SELLER)


def test_the_second_piece_goes_its_own_way_through_the_workshop() -> None:
    story = a_story(COMPLETED)
    story.mes_says("scrapped", purpose="rework")
    story.delivered(Delivered.SENDING, Delivered.CONFIRMED)

    story.mes_says("accepted")
    assert state(story) is Delivered.APPLIED
    story.mes_says("started", operator="olga")

    assert story.order.claim is not None
    assert story.order.claim.operator == "olga"
    assert story.mes_says("started", operator="olga") == []
    assert story.mes_says("completed") == [e.WorkCompleted()]


def test_the_old_piece_may_still_say_that_it_is_gone_and_nothing_else() -> None:
    story = a_story(COMPLETED)
    old = story.reference
    story.do(c.OrderRework("scratched", "scrapped, seen"), OPERATOR)

    assert story.do(c.RecordMesWord("mes", old, "scrapped")) == []
    story.do(c.RecordMesWord("mes", old, "packaging"))
    assert story.order.diverged == f"{old}: packaging"


# --- back to the price ----------------------------------------------------------------------------


def test_what_cannot_be_made_as_priced_is_priced_anew() -> None:
    story = a_story(STARTED)

    story.do(c.SendBackToPricing("too thin", "nothing was cast"), HEAD)

    order = story.order
    assert (order.stage, order.price.state) == (Stage.PRICE_CALCULATED, PriceState.QUEUED)
    assert (order.work_order, order.claim) == (None, None)


@pytest.mark.parametrize("actor", [OPERATOR, SELLER])
def test_the_head_confirms_that_it_cannot_be_made(actor: e.Actor) -> None:
    with pytest.raises(TransitionRefused, match="head of operators"):
        a_story(STARTED).do(c.SendBackToPricing("too thin", "nothing was cast"), actor)


@pytest.mark.parametrize("stage", [s for s in ROAD if s is not STARTED])
def test_it_is_sent_back_only_while_it_is_made(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="while it is being made"):
        a_story(stage).do(c.SendBackToPricing("too thin", "nothing was cast"), HEAD)
