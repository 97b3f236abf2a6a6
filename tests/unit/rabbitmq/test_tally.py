"""What does not add up between our rows and the broker's books is said."""

from datetime import UTC, datetime

import pytest

from orderkeep.delivery.ports import Carried
from orderkeep.delivery.tally import BrokerBooks, Flow, Tally, differences
from orderkeep.kernel.ids import EnvelopeId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FLOW = Flow("bridge", published=10, handled=6, parked=1, waiting=1, under_way=2)
LOST = tuple(Carried(n, EnvelopeId(str(n)), "priced", f"OK-{n}", NOON) for n in range(2))


def books(*, dropped: int = 0, held: int = 0, unrouted: int = 0) -> BrokerBooks:
    return BrokerBooks(published=10, dropped=dropped, held={"bridge": held}, unrouted=unrouted)


@pytest.mark.parametrize(
    "broker", [None, books(held=2), books(held=1, unrouted=1), books(held=500)]
)
def test_what_is_under_way_and_lies_at_the_broker_is_no_difference(
    broker: BrokerBooks | None,
) -> None:
    assert differences(Tally(10, 0, [FLOW], LOST), broker) == []


def test_what_is_neither_here_nor_there_is_named_by_its_order() -> None:
    [told] = differences(Tally(10, 0, [FLOW], LOST), books(held=1))

    assert "2 messages are neither here nor at the broker, which holds 1: OK-0, OK-1" in told


def test_what_is_on_its_way_for_a_moment_only_is_no_difference() -> None:
    assert differences(Tally(10, 0, [FLOW]), books()) == []


def test_rows_that_do_not_add_up_are_told() -> None:
    wrong = Flow("bridge", published=10, handled=6, parked=1, waiting=1, under_way=1)

    assert differences(Tally(10, 0, [wrong])) == ["bridge: 10 published, but 9 accounted for"]


def test_what_the_broker_confirmed_and_dropped_is_told() -> None:
    [told] = differences(Tally(10, 0, [FLOW]), books(dropped=3))

    assert "dropped 3" in told
