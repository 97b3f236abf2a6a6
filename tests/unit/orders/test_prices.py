"""From the question to the approval: prices, files, promises and what the client agrees to."""

from decimal import Decimal

import pytest

from orderkeep.kernel.ids import FileId, work_order_ref
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.order import ManualReason, Position, PriceState, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.timers import due
from orderkeep.orders.view import needs_person
from orderkeep.testing.orders import (
    CHAIN,
    DAY,
    ENGINE,
    HOUR,
    NOON,
    PARTNER,
    POLICY,
    RING,
    ROAD,
    SELLER,
    WATCH,
    Story,
    a_draft,
    a_story,
)

OPEN_MESH = [ManualReason(1, "open", "The mesh is open.")]
PRICING = (Stage.SUBMITTED, Stage.PRICE_CALCULATED)
PAST_PRICING = [stage for stage in ROAD if stage not in PRICING]


def euros(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def owner(story: Story) -> str | None:
    owed = due(story.order, POLICY)
    return owed.owner if owed else None


# --- drafts ---------------------------------------------------------------------------------------


def test_a_draft_passes_all_its_stages() -> None:
    story = a_draft()
    assert story.order.stage is Stage.INITIATED

    story.do(c.SubmitDraft([RING], "b" * 64, NOON + DAY))

    assert [one.stage for one in story.history] == [
        Stage.INITIATED,
        Stage.FILE_UPLOADED,
        Stage.SUBMITTED,
    ]


def test_a_draft_keeps_its_urgency_when_it_is_submitted() -> None:
    story = a_draft()
    story.do(c.ChangePriority(1, "wedding"))

    story.do(c.SubmitDraft([RING], "b" * 64, NOON + DAY))

    assert story.order.priority == 1


def test_a_draft_without_its_file_is_not_complete() -> None:
    story = a_draft()

    story.do(c.SetPositions([Position(1, 1, "ag925")], complete=False))

    assert story.order.stage is Stage.INITIATED
    with pytest.raises(TransitionRefused, match="file or a sku"):
        story.do(c.SubmitDraft([Position(1, 1, "ag925")], "b" * 64, NOON + DAY))


@pytest.mark.parametrize("count", [0, 51])
def test_an_order_has_1_to_50_positions(count: int) -> None:
    positions = [Position(n, 1, sku="CHAIN-45") for n in range(1, count + 1)]

    with pytest.raises(TransitionRefused, match="1 to 50"):
        a_draft().do(c.SubmitDraft(positions, "b" * 64, NOON + DAY))


def test_writing_the_same_draft_again_changes_nothing() -> None:
    story = a_draft()
    story.do(c.SetPositions([RING], complete=True))

    assert story.do(c.SetPositions([RING], complete=True)) == []


def test_an_abandoned_draft_is_cancelled_after_a_week() -> None:
    story = a_draft()

    assert e.OrderCancelled("abandoned") in story.do(c.Tick(), WATCH, after=7 * DAY)


@pytest.mark.parametrize("stage", ROAD)
def test_only_a_draft_is_edited_or_submitted(stage: Stage) -> None:
    story = a_story(stage)

    with pytest.raises(TransitionRefused):
        story.do(c.SetPositions([RING], complete=True))
    with pytest.raises(TransitionRefused):
        story.do(c.SubmitDraft([RING], "b" * 64, NOON + DAY))


# --- the engine's answer --------------------------------------------------------------------------


def test_a_price_answers_the_question_of_its_version() -> None:
    story = a_story()
    story.do(c.StartPricing(1), ENGINE)
    assert story.order.price.state is PriceState.RUNNING

    story.price("129.50")

    assert story.order.stage is Stage.PRICE_CALCULATED
    assert story.order.price.total == euros("129.50")
    assert story.order.price.valid_until == NOON + 72 * HOUR


def test_an_answer_to_an_older_question_changes_nothing() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.Reprice("rates"))

    assert story.do(c.RecordPrice(1, euros("1"), [], "book"), ENGINE) == []
    assert story.do(c.RecordManual(1, OPEN_MESH), ENGINE) == []
    assert story.do(c.RecordPricingFailure(1, "crash"), ENGINE) == []
    assert story.order.price.state is PriceState.QUEUED


def test_two_workers_on_one_question_are_one() -> None:
    story = a_story()
    story.do(c.StartPricing(1), ENGINE)

    assert story.do(c.StartPricing(1), ENGINE) == []


@pytest.mark.parametrize("amount", ["0", "-5", "NaN", "Infinity"])
def test_what_is_no_price_goes_to_a_person(amount: str) -> None:
    story = a_story()

    story.price(amount)

    assert (story.order.stage, story.order.price.state) == (Stage.SUBMITTED, PriceState.MANUAL)


def test_what_the_engine_cannot_price_waits_for_the_seller() -> None:
    story = a_story()

    story.do(c.RecordManual(1, OPEN_MESH), ENGINE)

    assert story.order.price.reasons == tuple(OPEN_MESH)
    assert (needs_person(story.order), owner(story)) == ("price", "seller")


def test_a_failed_engine_is_no_dead_end() -> None:
    story = a_story()
    story.do(c.RecordPricingFailure(1, "crash"), ENGINE)
    assert (needs_person(story.order), owner(story)) == ("price", "seller")

    story.do(c.EnterPrice(euros("200"), "by hand"))

    assert story.order.stage is Stage.PRICE_CALCULATED
    assert story.order.price.by == "person:sonya"
    assert needs_person(story.order) is None


@pytest.mark.parametrize("amount", ["0", "-5", "NaN", "Infinity"])
def test_a_seller_enters_a_price_and_nothing_else(amount: str) -> None:
    with pytest.raises(TransitionRefused, match="more than nothing"):
        a_story().do(c.EnterPrice(euros(amount), "by hand"))


def test_entering_the_same_price_twice_is_one_price() -> None:
    story = a_story()
    story.do(c.EnterPrice(euros("200"), "by hand"))

    assert story.do(c.EnterPrice(euros("200"), "by hand")) == []


@pytest.mark.parametrize("stage", PAST_PRICING)
def test_past_the_approval_prices_and_files_stay(stage: Stage) -> None:
    story = a_story(stage)

    for command in (
        c.EnterPrice(euros("200"), "by hand"),
        c.Reprice("rates"),
        c.ReplaceFile(1, FileId("other"), "2" * 64),
        c.RejectFile(1, "thin", "Too thin.", story.now + DAY),
    ):
        with pytest.raises(TransitionRefused):
            story.do(command)
    assert story.do(c.RecordPrice(1, euros("1"), [], "book"), ENGINE) == []


# --- consent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount,needed", [("104", False), ("105", False), ("105.01", True)])
def test_a_rise_above_five_percent_needs_the_clients_yes(amount: str, *, needed: bool) -> None:
    story = a_story()
    story.price("100")
    story.do(c.Reprice("rates"))

    story.price(amount)

    assert story.order.price.consent_needed is needed
    assert owner(story) == ("client" if needed else "seller")


def test_many_small_rises_are_one_big_one() -> None:
    story = a_story()
    for amount in ("100", "104", "108"):
        story.do(c.Reprice("rates"))
        story.price(amount)

    assert story.order.price.consent_needed


def test_asking_again_does_not_get_round_the_client() -> None:
    story = a_story()
    for amount in ("100", "120", "121"):
        story.do(c.Reprice("rates"))
        story.price(amount)

    assert story.order.price.consent_needed


def test_a_price_back_at_what_was_agreed_needs_no_second_yes() -> None:
    story = a_story()
    story.price("100")
    story.do(c.AcceptPrice(1), PARTNER)
    for amount in ("80", "100"):
        story.do(c.Reprice("rates"))
        story.price(amount)

    assert not story.order.price.consent_needed


def test_another_currency_needs_a_yes() -> None:
    story = a_story()
    story.price("100")
    story.do(c.Reprice("rates"))

    story.price("90", "USD")

    assert story.order.price.consent_needed


def test_without_the_clients_yes_nothing_is_approved() -> None:
    story = a_story()
    story.price("100")
    story.do(c.Reprice("rates"))
    story.price("120")
    with pytest.raises(TransitionRefused, match="agree"):
        story.do(c.ApproveOrder())

    story.do(c.AcceptPrice(2), PARTNER)
    story.do(c.ApproveOrder())

    assert story.order.stage is Stage.MANUFACTURING_APPROVED


def test_the_client_agrees_to_the_price_that_was_read() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.Reprice("rates"))
    story.price("120")

    with pytest.raises(TransitionRefused, match="newer"):
        story.do(c.AcceptPrice(1), PARTNER)


def test_agreeing_twice_changes_nothing() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.AcceptPrice(), PARTNER)

    assert story.do(c.AcceptPrice(), PARTNER) == []


def test_what_could_not_be_made_as_priced_needs_a_new_yes_at_any_price() -> None:
    story = a_story(Stage.MANUFACTURING_STARTED)
    story.mes_says("scrapped", purpose="cannot_be_made", reason="too thin")

    story.price("50")

    assert story.order.price.consent_needed


# --- expiry ---------------------------------------------------------------------------------------


def test_an_expired_price_is_not_approved() -> None:
    story = a_story(Stage.PRICE_CALCULATED)

    for command in (c.ApproveOrder(), c.AcceptPrice()):
        with pytest.raises(TransitionRefused, match="expired"):
            story.do(command, after=72 * HOUR)


def test_an_expired_price_is_asked_anew_by_itself_but_not_for_ever() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    for _ in range(POLICY.automatic_repricings):
        story.do(c.Tick(), WATCH, after=72 * HOUR)
        assert story.order.price.state is PriceState.QUEUED
        story.price()

    story.do(c.Tick(), WATCH, after=72 * HOUR)

    assert story.order.price.state is PriceState.EXPIRED
    assert (needs_person(story.order), owner(story)) == ("price", "seller")
    asked_anew = story.do(c.Reprice("still wanted"))
    assert isinstance(asked_anew[0], e.PriceQueued)


def test_a_held_price_does_not_expire() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.PlaceHold("ask", "client", NOON + 9 * DAY, stops_clock=True))

    assert story.do(c.Tick(), WATCH, after=4 * DAY) == []
    story.do(c.LiftHold("answered"))
    assert e.PriceExpired(1) in story.do(c.Tick(), WATCH)


def test_asking_anew_while_it_is_asked_changes_nothing() -> None:
    assert a_story().do(c.Reprice("rates")) == []


# --- files ----------------------------------------------------------------------------------------


def test_a_rejected_file_holds_the_order_for_the_client() -> None:
    story = a_story()

    story.do(c.RejectFile(1, "thin", "A wall is too thin.", NOON + 3 * DAY), ENGINE)

    assert story.order.hold is not None
    assert (story.order.hold.owner, story.order.hold.stops_clock) == ("client", True)
    assert (needs_person(story.order), owner(story)) == ("file", "client")


def test_a_rejected_file_stops_the_approval() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.RejectFile(1, "thin", "A wall is too thin.", NOON + DAY), ENGINE)
    story.do(c.LiftHold("called the client"))

    with pytest.raises(TransitionRefused, match="file is rejected"):
        story.do(c.ApproveOrder())


def test_rejecting_a_file_twice_is_one_rejection() -> None:
    story = a_story()
    reject = c.RejectFile(1, "thin", "A wall is too thin.", NOON + DAY)
    story.do(reject, ENGINE)

    assert story.do(reject, ENGINE) == []


def test_another_file_is_priced_anew_and_ends_the_hold() -> None:
    story = a_story()
    story.do(c.RejectFile(1, "thin", "A wall is too thin.", NOON + DAY), ENGINE)

    story.do(c.ReplaceFile(1, FileId("better"), "2" * 64, "better.stl"), PARTNER)

    order = story.order
    assert (order.hold, dict(order.file_rejected)) == (None, {})
    assert (order.price.state, order.price.version) == (PriceState.QUEUED, 2)
    assert order.positions[0].file_id == "better"
    assert order.positions[0].material == RING.material
    assert order.positions[1] == CHAIN


def test_one_good_file_of_two_leaves_the_hold() -> None:
    other = Position(2, 1, "ag925", FileId("other"), "3" * 64)
    story = a_story(positions=[RING, other])
    for position in (1, 2):
        story.do(c.RejectFile(position, "thin", "Too thin.", NOON + DAY), ENGINE)

    story.do(c.ReplaceFile(1, FileId("better"), "2" * 64), PARTNER)

    assert story.order.hold is not None


def test_another_file_does_not_answer_another_question() -> None:
    story = a_story()
    story.do(c.PlaceHold("which engraving?", "client", NOON + DAY))

    story.do(c.ReplaceFile(1, FileId("better"), "2" * 64), PARTNER)

    assert story.order.hold is not None


def test_the_same_file_again_changes_nothing() -> None:
    story = a_story()

    assert story.do(c.ReplaceFile(1, FileId("copy"), RING.file_sha256 or ""), PARTNER) == []


def test_a_ready_made_piece_has_no_file() -> None:
    with pytest.raises(TransitionRefused, match="no model file"):
        a_story().do(c.ReplaceFile(2, FileId("x"), "2" * 64))


# --- promise, priority, notes ---------------------------------------------------------------------


def test_a_new_promise_lies_in_the_future() -> None:
    story = a_story()
    with pytest.raises(TransitionRefused, match="future"):
        story.do(c.ChangePromise(NOON, "asked"))

    story.do(c.ChangePromise(NOON + 5 * DAY, "asked"))

    assert story.order.promise_at == NOON + 5 * DAY
    assert story.do(c.ChangePromise(NOON + 5 * DAY, "asked")) == []


@pytest.mark.parametrize("priority", [0, 10])
def test_priority_goes_from_1_to_9(priority: int) -> None:
    with pytest.raises(TransitionRefused, match="1, most urgent"):
        a_story().do(c.ChangePriority(priority, "asked"))


def test_nothing_is_promised_for_a_closed_order() -> None:
    story = a_story(Stage.CLOSED)

    for command in (c.ChangePromise(story.now + DAY, "?"), c.ChangePriority(1, "?")):
        with pytest.raises(TransitionRefused, match="closed"):
            story.do(command)


@pytest.mark.parametrize("stage", ROAD)
def test_a_note_is_possible_everywhere(stage: Stage) -> None:
    assert a_story(stage).do(c.AddNote("called"), SELLER) == [e.NoteAdded("called")]


# --- approval -------------------------------------------------------------------------------------


def test_approving_wants_a_work_order_under_the_orders_own_number() -> None:
    story = a_story(Stage.PRICE_CALCULATED)

    story.do(c.ApproveOrder())

    assert story.reference == work_order_ref(story.order.no, 1)


def test_approving_twice_changes_nothing() -> None:
    story = a_story(Stage.MANUFACTURING_APPROVED)

    assert story.do(c.ApproveOrder()) == []


def test_a_rule_approves_under_its_name() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    rule = e.Actor(e.ActorKind.RULE, "below-200")

    (approved,) = story.do(c.ApproveOrder("below-200"), rule)

    assert isinstance(approved, e.OrderApproved)
    assert approved.rule == "below-200"


@pytest.mark.parametrize(
    "stage",
    [Stage.SUBMITTED, *ROAD[3:]],
)
def test_only_a_priced_order_is_approved(stage: Stage) -> None:
    with pytest.raises(TransitionRefused, match="no price yet, or it is past"):
        a_story(stage).do(c.ApproveOrder())


def test_a_held_order_is_not_approved() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.PlaceHold("ask", "seller", NOON + DAY))

    with pytest.raises(TransitionRefused, match="held"):
        story.do(c.ApproveOrder())
