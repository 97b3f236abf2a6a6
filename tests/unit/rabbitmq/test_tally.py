"""What does not add up between our rows and the broker's books is said."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from orderkeep.adapters.rabbitmq.topology import UNROUTABLE, inbox_queue
from orderkeep.adapters.rabbitmq.watch import books as looked_at
from orderkeep.delivery.ports import Carried
from orderkeep.delivery.tally import Between, BrokerBooks, Flow, Tally, differences, missing
from orderkeep.doctor.snapshot import Queue, Sample
from orderkeep.kernel.ids import EnvelopeId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROUTES = {"priced": ("bridge",), "cancelled": ("bridge", "floor")}
THEN = Between(NOON, NOON)
FLOW = Flow("bridge", published=10, handled=6, parked=1, waiting=1, under_way=2)
LOST = tuple(Carried(n, EnvelopeId(str(n)), "priced", f"OK-{n}", NOON) for n in range(2))
LATE = replace(FLOW, late=2, owed=2, overdue=LOST)
"""Two are late, and nothing else is on its way."""


def books(*, dropped: int = 0, held: int = 0, unrouted: int = 0, floor: int = 0) -> BrokerBooks:
    there = {"bridge": held, "floor": floor}
    return BrokerBooks(published=10, dropped=dropped, held=there, unrouted=unrouted, counted=THEN)


@pytest.mark.parametrize(
    "broker", [None, books(held=2), books(held=1, unrouted=1), books(held=500)]
)
def test_what_is_under_way_and_lies_at_the_broker_is_no_difference(
    broker: BrokerBooks | None,
) -> None:
    assert differences(Tally(10, 0, [LATE]), broker) == []


def test_what_is_neither_here_nor_there_is_named_by_its_order() -> None:
    [told] = differences(Tally(10, 0, [LATE]), books(held=1))

    assert "bridge: 1 or more messages are neither here nor at the broker, which holds 1" in told
    assert told.endswith("OK-0, OK-1")


@pytest.mark.parametrize(
    "broker, named",
    [(None, 2), (books(held=1), 2), (books(held=2), 0), (books(held=1, unrouted=1), 0)],
)
def test_what_is_missing_is_named_unless_the_broker_has_it(
    broker: BrokerBooks | None, named: int
) -> None:
    assert len(missing(Tally(10, 0, [LATE]), broker)) == named


@pytest.mark.parametrize("others", [2, 7, 5_000])
def test_a_loss_is_not_hidden_by_as_many_others_that_wait(others: int) -> None:
    waiting = replace(LATE, owed=2 + others)

    found = missing(Tally(10, 0, [waiting]), books(held=others))

    assert list(found) == list(LOST)
    assert "bridge: 2 or more" in differences(Tally(10, 0, [waiting]), books(held=others))[0]


def test_a_loss_is_not_hidden_by_what_waits_for_another_consumer() -> None:
    elsewhere = Flow("floor", published=9, handled=0, parked=0, waiting=0, under_way=9, owed=9)

    assert list(missing(Tally(10, 0, [LATE, elsewhere]), books(floor=9))) == list(LOST)


def test_a_broker_that_has_just_started_is_not_said_to_have_lost_what_it_has_not_counted_yet() -> (
    None
):
    silent = replace(books(), held={"floor": 0})

    assert differences(Tally(10, 0, [LATE]), silent) == []
    assert list(missing(Tally(10, 0, [LATE]), silent)) == list(LOST)  # nobody knows where they are


@pytest.mark.parametrize(
    "told, held",
    [
        ({"bridge": 5, "floor": 0, "unroutable": 0}, {"bridge": 5, "floor": 0}),
        ({"bridge": None, "floor": 2, "unroutable": 0}, {"floor": 2}),
        ({"bridge": 5, "floor": 2, "unroutable": None}, {}),
        ({"bridge": 5, "unroutable": 0}, {"bridge": 5, "floor": 0}),
    ],
)
def test_a_queue_holds_what_it_says_and_nothing_once_it_is_gone(
    told: dict[str, int | None], held: dict[str, int]
) -> None:
    names = {
        "unroutable": UNROUTABLE,
        "bridge": inbox_queue("bridge"),
        "floor": inbox_queue("floor"),
    }
    queues = [
        Queue(name=names[name], vhost="/", messages=number or 0, messages_ready=number)
        for name, number in told.items()
    ]

    assert looked_at(Sample(queues=queues), ROUTES, "/", THEN).held == held


def test_one_message_that_several_consumers_miss_is_named_once() -> None:
    both = [LATE, replace(LATE, consumer="floor")]

    assert list(missing(Tally(10, 0, both), books())) == list(LOST)


def test_what_was_counted_while_it_came_or_went_accuses_nobody() -> None:
    assert missing(Tally(10, 0, [replace(LATE, owed=1)]), books(held=1)) == []


def test_what_is_on_its_way_for_a_moment_only_is_no_difference() -> None:
    assert differences(Tally(10, 0, [FLOW]), books()) == []


def test_rows_that_do_not_add_up_are_told() -> None:
    wrong = Flow("bridge", published=10, handled=6, parked=1, waiting=1, under_way=1)

    assert differences(Tally(10, 0, [wrong])) == ["bridge: 10 published, but 9 accounted for"]


def test_what_the_broker_confirmed_and_dropped_is_told() -> None:
    [told] = differences(Tally(10, 0, [FLOW]), books(dropped=3))

    assert "dropped 3" in told
