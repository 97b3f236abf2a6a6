"""Whose an order is decides whether a work order may leave for the MES."""

from itertools import product

import pytest

from orderkeep.ledger.balance import Class, Standing, classify
from orderkeep.ledger.steps import illegal
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders import home_words
from orderkeep.orders.evolve import evolve
from orderkeep.orders.home import Home, is_made_here, strictest
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.view import ELSEWHERE, board_row
from orderkeep.testing.orders import HEAD, POLICY, SELLER, Story, a_story

SHOP = e.Actor(e.ActorKind.BRIDGE, "shop")


def priced(home: Home) -> Story:
    story = a_story(Stage.PRICE_CALCULATED, home=home)
    assert story.order.home is home
    return story


def test_a_copy_never_leaves_for_the_mes() -> None:
    story = priced(Home.MIRRORED)

    with pytest.raises(TransitionRefused, match="copy"):
        story.do(c.ApproveOrder())

    assert story.order.work_order is None


@pytest.mark.parametrize("home", [Home.CO_MASTERED, Home.MASTERED])
def test_whoever_is_at_home_here_is_made(home: Home) -> None:
    story = priced(home)

    story.do(c.ApproveOrder())

    assert story.order.work_order is not None


@pytest.mark.parametrize("one, other", list(product(Home, Home)))
def test_of_two_flags_the_stricter_holds(one: Home, other: Home) -> None:
    together = strictest([one, other])

    assert together is strictest([other, one])
    assert is_made_here(together) is (is_made_here(one) and is_made_here(other))


def test_who_has_no_flag_is_mastered_here() -> None:
    assert strictest([]) is Home.MASTERED


# --- a copy follows what its home says ------------------------------------------------------------

WORDS = home_words.WORDS
ROAD = (
    Stage.SUBMITTED,
    Stage.MANUFACTURING_APPROVED,
    Stage.MANUFACTURING_STARTED,
    Stage.MANUFACTURING_COMPLETED,
    Stage.PACKAGING,
    Stage.SHIPPED,
    Stage.CLOSED,
)


def a_copy(stage: Stage = Stage.SUBMITTED) -> Story:
    return a_story(stage, home=Home.MIRRORED)


def says(story: Story, word: str, **facts: str) -> list[e.OrderEvent]:
    """The home of the order says a word of it."""
    return story.do(c.RecordHomeWord("shop", word, **facts), SHOP)


@pytest.mark.parametrize("word, stage", list(zip(WORDS[:7], ROAD, strict=True)))
@pytest.mark.parametrize("start", [Stage.SUBMITTED, Stage.PRICE_CALCULATED])
def test_a_word_leads_as_far_as_it_says_and_the_steps_between_are_inferred(
    start: Stage, word: str, stage: Stage
) -> None:
    story = a_copy(start)

    caused = says(story, word)

    assert story.order.stage is (start if stage is Stage.SUBMITTED else stage)
    steps = [one for one in caused if getattr(one, "inferred", None) is not None]
    assert all(getattr(one, "inferred", None) for one in steps[:-1])
    assert story.order.work_order is None


@pytest.mark.parametrize("far", range(1, 7))
def test_words_that_come_late_or_twice_do_nothing(far: int) -> None:
    story = a_copy()
    says(story, WORDS[far])

    for word in WORDS[: far + 1]:
        assert says(story, word) == []

    assert story.order.stage is ROAD[far]


def test_what_is_made_at_home_waits_for_nobody_here() -> None:
    story = a_copy()
    story.do(c.RejectFile(1, "thin", "Too thin.", story.now + POLICY.norms[Stage.SUBMITTED]))
    assert story.order.hold is not None

    says(story, "started")

    row = board_row(story.order, POLICY, story.now)
    assert (row.needs_person, row.hold_reason, row.mes_state) == (None, None, ELSEWHERE)
    assert row.price_state == PriceState.NONE
    assert not row.is_claimable


def test_the_parcels_number_is_shown() -> None:
    story = a_copy()

    says(story, "shipped", tracking_no="T-7", carrier="post")

    assert story.order.shipment is not None
    assert story.order.shipment.tracking_no == "T-7"


def test_cancelled_at_home_is_the_end_of_the_copy() -> None:
    story = a_copy()
    says(story, "started")

    [cancelled, *_] = says(story, "cancelled", reason="changed his mind")

    assert cancelled == e.OrderCancelled("changed his mind", made=True)
    assert [says(story, word) for word in WORDS] == [[]] * len(WORDS)


def test_a_copy_cancelled_here_that_goes_on_at_home_is_shown_to_a_person() -> None:
    story = a_copy()
    story.do(c.CancelOrder("enough"), SELLER)
    assert story.order.stage is Stage.CANCELLED

    [diverged] = says(story, "started")

    assert isinstance(diverged, e.WordDiverged)
    assert says(story, "started") == []


def test_what_cannot_be_is_shown_to_a_person() -> None:
    story = a_copy()
    says(story, "shipped")

    for word in ("cancelled", "melted"):
        [diverged] = says(story, word)
        assert isinstance(diverged, e.WordDiverged)
    assert story.order.stage is Stage.SHIPPED


def test_a_copy_that_is_being_made_is_cancelled_here_at_once() -> None:
    """Nothing of ours is being made, so nobody has to give anything back."""
    story = a_copy()
    says(story, "completed")

    story.do(c.CancelOrder("it never says anything any more"), SELLER)

    assert story.order.stage is Stage.CANCELLED


@pytest.mark.parametrize(
    "word, command",
    [
        ("completed", c.OrderRework("scratched", "seen")),
        ("started", c.SendBackToPricing("too thin", "seen")),
    ],
)
def test_nothing_of_a_copy_is_wanted_from_our_mes(word: str, command: c.OrderCommand) -> None:
    story = a_copy()
    says(story, word)

    with pytest.raises(TransitionRefused, match="copy"):
        story.do(command, HEAD)


@pytest.mark.parametrize("home", [Home.CO_MASTERED, Home.MASTERED])
def test_whoever_is_at_home_here_obeys_no_other_system(home: Home) -> None:
    story = priced(home)

    assert [says(story, word) for word in WORDS[:-1]] == [[]] * 7
    [diverged] = says(story, "cancelled")

    assert isinstance(diverged, e.WordDiverged)
    assert story.order.stage is Stage.PRICE_CALCULATED


@pytest.mark.parametrize("word", [word for word in WORDS if word != "accepted"])
def test_a_copy_has_its_class_in_the_balance(word: str) -> None:
    story = a_copy()
    says(story, word)

    row = board_row(story.order, POLICY, story.now)

    standing = Standing(row.stage, row.price_state, row.mes_state, held=False, needs_person=False)
    assert classify(standing) is (Class.CANCELLED if word == "cancelled" else Class.AT_MES)


def test_only_a_copy_is_approved_elsewhere() -> None:
    """What ``verify`` would say of such a step in the history of an order that is made here."""
    story = priced(Home.MASTERED)
    recorded = e.Recorded(
        story.order.no, 99, story.now, Stage.MANUFACTURING_APPROVED,
        e.Cause(SHOP, "", "shop", ""), e.ApprovedElsewhere(),
    )  # fmt: skip
    after: Order = evolve(story.order, recorded)

    assert illegal(story.order, recorded.event, after) == "its home is here"
