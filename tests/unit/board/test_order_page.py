"""The journey strip, the feed's levels, the reasons of the ranking, and filters."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.board.feed import LEVELS, Level, feed, level_of
from orderkeep.board.filters import Cursor, decode_cursor, encode_cursor, parse
from orderkeep.board.journey import journey
from orderkeep.kernel.errors import Invalid
from orderkeep.kernel.ids import WorkOrderRef, order_no
from orderkeep.orders import events as e
from orderkeep.orders.order import Delivered, Stage
from orderkeep.orders.policy import Policy

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CAUSE = e.Cause(e.Actor(e.ActorKind.PERSON, "anna", "seller"), "test", "office", "0" * 32)


def history(*happened: tuple[Stage, e.OrderEvent]) -> list[e.Recorded]:
    """Events an hour apart."""
    return [
        e.Recorded(order_no(1), seq, NOON + timedelta(hours=seq), stage, CAUSE, event)
        for seq, (stage, event) in enumerate(happened, start=1)
    ]


def submitted() -> tuple[Stage, e.OrderEvent]:
    return Stage.SUBMITTED, e.OrderSubmitted("api", [], "0" * 64, NOON)


def test_the_strip_shows_the_way_back_after_a_rework() -> None:
    reference = WorkOrderRef("OK-000013/2")
    strip = journey(
        history(
            submitted(),
            (Stage.PRICE_CALCULATED, e.PriceAccepted(1)),
            (Stage.MANUFACTURING_COMPLETED, e.WorkCompleted("olga")),
            (Stage.MANUFACTURING_APPROVED, e.ReworkOrdered("scratch", 1, reference, 2)),
            (Stage.MANUFACTURING_APPROVED, e.HoldPlaced("metal", "head", NOON, stops_clock=False)),
        ),
        Policy().norms,
    )

    states = {step.stage: step.state for step in strip}
    marks = {step.stage: list(step.marks) for step in strip}
    assert states[Stage.INITIATED] == "skipped"
    assert states[Stage.SUBMITTED] == "done"
    assert states[Stage.MANUFACTURING_APPROVED] == "current"
    assert states[Stage.MANUFACTURING_COMPLETED] == "ahead"
    assert marks[Stage.MANUFACTURING_APPROVED] == ["rework", "hold"]
    assert strip[2].left_at == NOON + timedelta(hours=2)


def test_a_cancelled_order_shows_how_far_it_came() -> None:
    strip = journey(
        history(submitted(), (Stage.CANCELLED, e.OrderCancelled("no more"))), Policy().norms
    )

    assert strip[-1].stage is Stage.CANCELLED
    assert strip[-1].state == "current"
    assert {step.state for step in strip if step.stage is Stage.SHIPPED} == {"skipped"}


def test_every_kind_of_event_has_its_level() -> None:
    assert set(LEVELS) == set(get_args(e.OrderEvent))


def test_what_failed_is_everybodys_business() -> None:
    dead = e.DeliveryChanged("mes", WorkOrderRef("OK-000013"), Delivered.DEAD)
    fine = e.DeliveryChanged("mes", WorkOrderRef("OK-000013"), Delivered.CONFIRMED)
    told = history(
        submitted(), (Stage.MANUFACTURING_APPROVED, dead), (Stage.MANUFACTURING_APPROVED, fine)
    )

    assert [level_of(one) for one in told[1:]] == [Level.BUSINESS, Level.INTEGRATION]
    failed = feed(told, Level.TECHNICAL, failed=True, before=None)
    assert [one.seq for one in failed.items] == [2]


@given(total=st.integers(0, 350))
def test_the_feed_comes_newest_first_page_by_page(total: int) -> None:
    told = history(*[(Stage.SUBMITTED, e.NoteAdded(str(n))) for n in range(total)])
    seen: list[int] = []
    before: int | None = None
    while True:
        page = feed(told, Level.BUSINESS, failed=False, before=before)
        seen += [one.seq for one in page.items]
        before = page.next
        if before is None:
            break

    assert seen == list(range(total, 0, -1))


@given(key=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4))
def test_a_cursor_survives_its_journey(key: list[int | None]) -> None:
    cursor = Cursor("priority", tuple(key))

    assert decode_cursor(encode_cursor(cursor)) == cursor


@given(text=st.text(max_size=80))
def test_no_text_makes_a_cursor_crash(text: str) -> None:
    try:
        decode_cursor(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "parameters",
    [
        {"stage": "NOWHERE"},
        {"risk": "never"},
        {"needs": "money"},
        {"sort": "up"},
        {"limit": "many"},
        {"after": "x"},
        {"q": "x" * 200},
        {"material": "a\0b"},
        {"colour": "red"},
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        parse(parameters, "anna")

    assert [fault.pointer for fault in refused.value.faults] == [f"/{next(iter(parameters))}"]
