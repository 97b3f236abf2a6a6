"""A history is walked step by step, and what cannot be is named."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.ledger.evidence import Filed
from orderkeep.ledger.history import walk
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.order import Delivered, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.testing.orders import DAY, HEAD, OPERATOR, SELLER, WATCH, Story, a_story


def filed(history: Sequence[e.Recorded]) -> list[Filed]:
    return [Filed(one, e.kind_of(one.event), "shop") for one in history]


def rules(story: Story) -> set[str]:
    return {rule for rule, _ in walk(filed(story.history)).findings}


def sentences(history: Sequence[e.Recorded]) -> str:
    return "; ".join(what for _, what in walk(filed(history)).findings)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.isupper()][2:10])
def test_the_road_is_legal(stage: Stage) -> None:
    story = a_story(stage)

    told = walk(filed(story.history))

    assert told.findings == []
    assert told.order == story.order
    assert told.submitted is not None


MOVES: Sequence[tuple[c.OrderCommand, e.Actor]] = (
    (c.Reprice("rates"), SELLER),
    (c.AcceptPrice(), SELLER),
    (c.ApproveOrder(), SELLER),
    (c.ClaimOrder("oleg"), OPERATOR),
    (c.ReleaseClaim("lunch"), OPERATOR),
    (c.ReassignOrder("olga", "ill"), HEAD),
    (c.OrderRework("scratched", "scrapped, seen"), HEAD),
    (c.SendBackToPricing("too thin", "seen"), HEAD),
    (c.CancelOrder("no"), SELLER),
    (c.CancelAnyway("scrap it"), HEAD),
    (c.WithdrawCancel("yes"), SELLER),
    (c.LiftHold("answered"), SELLER),
    (c.OpenReturn("too small"), SELLER),
    (c.ResolveReturn("repair"), SELLER),
    (c.CloseOrder("delivered"), HEAD),
    (c.Tick(), WATCH),
)


@given(seed=st.integers(0, 2**32))
def test_whatever_the_lifecycle_decides_is_legal(seed: int) -> None:
    random = Random(seed)
    story = a_story(random.choice([Stage.SUBMITTED, Stage.PRICE_CALCULATED, Stage.PACKAGING]))
    for _ in range(30):
        command, actor = random.choice(MOVES)
        try:
            story.do(command, actor, after=random.choice((timedelta(0), DAY)))
        except TransitionRefused:
            continue

    assert walk(filed(story.history)).findings == []


def test_a_gap_is_named_by_its_place() -> None:
    story = a_story(Stage.MANUFACTURING_APPROVED)

    assert "event 2 is missing" in sentences([story.history[0], *story.history[2:]])


def test_a_repeated_event_is_named() -> None:
    story = a_story(Stage.PRICE_CALCULATED)

    assert "event 2 is there twice" in sentences([*story.history, story.history[-1]])


def test_a_history_without_its_beginning_is_named() -> None:
    story = a_story(Stage.PRICE_CALCULATED)

    assert "nothing came before it" in sentences(story.history[1:])


WORK = WorkOrderRef("OK-000013")
IMPOSSIBLE: Sequence[tuple[Stage, e.OrderEvent, str]] = (
    (Stage.SUBMITTED, e.OrderShipped("T1"), "the order was SUBMITTED"),
    (Stage.SUBMITTED, e.OrderApproved(WORK, 1), "the order was SUBMITTED"),
    (Stage.PRICE_CALCULATED, e.OrderApproved(WORK, 3), "work order 1 was due"),
    (Stage.PRICE_CALCULATED, e.HoldLifted("why"), "it was not held"),
    (Stage.PRICE_CALCULATED, e.CancelRefused("no"), "the order was PRICE_CALCULATED"),
    (Stage.MANUFACTURING_APPROVED, e.CancelRefused("no"), "nobody had asked"),
    (Stage.MANUFACTURING_APPROVED, e.ClaimEnded("oleg", "why"), "nobody had taken it"),
    (
        Stage.MANUFACTURING_APPROVED,
        e.DeliveryChanged("mes", WorkOrderRef("OK-000013/7"), Delivered.APPLIED),
        "its work order was",
    ),
    (Stage.SHIPPED, e.OrderCancelled("late"), "the order was SHIPPED"),
    (Stage.SHIPPED, e.ReturnInspected(), "no return was open"),
    (Stage.CLOSED, e.PriorityChanged(1, "why"), "the order was CLOSED"),
)


@pytest.mark.parametrize("stage, event, why", IMPOSSIBLE)
def test_an_illegal_step_is_named(stage: Stage, event: e.OrderEvent, why: str) -> None:
    story = a_story(stage)
    story.happen(event)

    assert why in sentences(story.history)


def test_a_stage_that_the_event_does_not_lead_to_is_named() -> None:
    story = a_story(Stage.MANUFACTURING_STARTED)
    last = msgspec.structs.replace(story.history[-1], stage=Stage.PACKAGING)

    assert "says it led to PACKAGING" in sentences([*story.history[:-1], last])


def _requested(story: Story) -> None:
    story.happen(e.CancelRequested("no"))


def _cancelled(story: Story) -> None:
    story.happen(e.OrderCancelled("no"))


@pytest.mark.parametrize("end", [_requested, _cancelled])
def test_sending_after_a_cancellation_is_named(end: Callable[[Story], None]) -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    end(story)
    story.happen(e.DeliveryChanged("mes", story.reference, Delivered.SENDING))

    assert rules(story) == {"S10"}


def test_a_withdrawn_cancellation_lets_it_be_sent() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    story.happen(e.CancelRequested("no"), e.CancelWithdrawn("yes"))
    story.happen(e.DeliveryChanged("mes", story.reference, Delivered.SENDING))

    assert rules(story) == set()
