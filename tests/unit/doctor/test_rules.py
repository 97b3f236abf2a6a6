"""The doctor's rules on replies: what our RabbitMQ cannot show, and what must accuse nobody."""

from typing import Any

import msgspec
import pytest

from orderkeep.adapters.rabbitmq.topology import topology, version_of
from orderkeep.doctor.examine import examine
from orderkeep.doctor.findings import Effect, Step
from orderkeep.doctor.look import matches
from orderkeep.doctor.page import page
from orderkeep.doctor.rulebook import RULES
from orderkeep.doctor.snapshot import Sample, Snapshot
from orderkeep.doctor.text import text
from orderkeep.doctor.words import LANGUAGES
from orderkeep.orders.announce import routes
from orderkeep.testing.doctor_cases import (
    ALARM,
    PROVOKED,
    RECORDED,
    case,
    how_tested,
    recorded,
    snapshot,
)


def a_sample(**lists: Any) -> Sample:
    return msgspec.convert(lists, Sample, strict=False)


def rules_of(snapshot: Snapshot) -> set[int]:
    return {one.rule for one in examine(snapshot).findings}


def test_a_healthy_cluster_is_accused_of_nothing() -> None:
    report = examine(snapshot(recorded()))

    assert report.findings == []
    assert not report.harmful


@pytest.mark.parametrize("number", sorted(RECORDED))
def test_a_rule_is_found_in_recorded_replies(number: int) -> None:
    assert number in rules_of(case(number))


def test_every_rule_is_tested_and_says_something_in_every_language() -> None:
    numbers = [rule.number for rule in RULES]

    assert numbers == list(range(1, len(RULES) + 1))
    assert {*PROVOKED, *RECORDED, ALARM} == {*numbers}
    assert all(how_tested(number) for number in numbers)
    keys = {rule.key for rule in RULES}
    for language in LANGUAGES.values():
        assert {*language.RULES} == keys
        assert {*language.PHRASES} == {*LANGUAGES["en"].PHRASES}


def test_an_empty_broker_is_looked_at_without_fault() -> None:
    report = examine(Snapshot(Sample(), Sample(), 10.0))

    assert report.findings == []
    assert report.lost.total is None
    assert "could not be counted" in text(report)


def test_a_default_delivery_limit_of_version_4_is_a_loss_only_without_a_place_for_it() -> None:
    replies = recorded()
    replies["overview"]["rabbitmq_version"] = "4.0.5"

    assert rules_of(snapshot(replies)) == set()
    assert 19 in rules_of(case(19))


def our_own(version: str) -> Snapshot:
    """A healthy cluster on which everything of ours is declared, and nothing else is."""
    replies, ours = recorded(), topology(routes(floor=True, crm=True), version_of(version))
    replies["overview"]["rabbitmq_version"] = version
    node = replies["queues"][0]
    replies["queues"] = [
        node | {"name": one.name, "arguments": dict(one.arguments)} for one in ours.queues
    ]
    replies["exchanges"] += [
        {"name": one.name, "vhost": "shop", "type": one.type, "durable": True}
        | {"arguments": dict(one.arguments)}
        for one in ours.exchanges
    ]
    replies["bindings"] = [
        {"source": one.exchange, "vhost": "shop", "destination": one.queue, "routing_key": one.key}
        for one in ours.bindings
    ]
    return snapshot(replies)


@pytest.mark.parametrize("version", ["3.10.8", "4.1.0"])
def test_our_own_topology_is_accused_of_nothing(version: str) -> None:
    """The queue of what no queue takes is the end of its road, as those of dead letters are."""
    assert rules_of(our_own(version)) & {12, 13, 14, 15, 18, 19, 20} == set()


def test_a_queue_that_is_more_than_the_end_of_a_road_is_looked_at() -> None:
    replies = recorded()
    orders = next(one for one in replies["exchanges"] if one["name"] == "orders")
    orders["arguments"] = {"alternate-exchange": "rest"}
    replies["exchanges"].append({"name": "rest", "vhost": "shop", "type": "fanout"})
    queue = replies["queues"][0] | {"name": "rest"}
    replies["queues"].append(queue)
    bound = {"vhost": "shop", "destination": "rest", "routing_key": ""}
    replies["bindings"].append(bound | {"source": "rest"})
    assert 12 not in rules_of(snapshot(replies))

    replies["bindings"].append(bound | {"source": "amq.topic"})
    assert 12 in rules_of(snapshot(replies))


def test_what_older_brokers_cannot_do_is_not_asked_of_them() -> None:
    replies = recorded()
    queue = next(one for one in replies["queues"] if one["name"] == "orders")
    del queue["effective_policy_definition"]["dead-letter-strategy"]

    assert rules_of(snapshot(replies)) == {20}
    replies["overview"]["rabbitmq_version"] = "3.9.29"
    assert rules_of(snapshot(replies)) == set()


def test_empty_tables_of_old_brokers_are_lists() -> None:
    queue = {"name": "q", "vhost": "/", "arguments": [], "effective_policy_definition": []}
    sample = a_sample(queues=[queue])

    assert rules_of(Snapshot(sample, sample, 10.0)) == {12}


def test_one_command_for_a_queue_says_all_that_its_rules_want() -> None:
    """Two policies for one queue would undo each other."""
    queue = {"name": "q", "vhost": "/", "arguments": {"x-queue-type": "quorum"}, "policy": "p"}
    policy = {
        "name": "p",
        "vhost": "/",
        "pattern": "^q",
        "definition": {"max-length": 9, "expires": 1000},
        "priority": 3,
    }
    in_force = {"effective_policy_definition": policy["definition"]}
    sample = a_sample(queues=[queue | in_force], policies=[policy])

    report = examine(Snapshot(sample, sample, 10.0))

    commands = {line for one in report.findings for line in one.fix if "set_policy" in line}
    [command] = commands
    assert "--priority 4" in command
    for said in ('"max-length": 9', "dead-letter-exchange", '"delivery-limit": 10'):
        assert said in command
    assert "expires" not in command


def test_an_exchange_keeps_what_its_policy_said() -> None:
    policy = {"name": "p", "vhost": "/", "pattern": "shop", "definition": {"federation": "all"}}
    shop = {"name": "shop", "vhost": "/", "policy": "p"}
    sample = a_sample(exchanges=[shop], policies=[policy | {"apply-to": "exchanges"}])

    [found] = examine(Snapshot(sample, sample, 10.0)).findings

    assert '{"federation": "all", "alternate-exchange": "unrouted"}' in found.fix[-1]
    assert "--apply-to exchanges --priority 1" in found.fix[-1]


@pytest.mark.parametrize(
    "change, step",
    [
        ({"message_stats": {"deliver_no_ack": 50}}, Step.BRIDGE),
        ({"arguments": {"x-message-ttl": 1000}, "messages": 9}, Step.SETTINGS),
    ],
)
def test_the_numbers_say_what_comes_first(change: dict[str, Any], step: Step) -> None:
    sample = a_sample(queues=[{"name": "q", "vhost": "/"} | change])

    report = examine(Snapshot(sample, sample, 10.0))

    assert report.verdict.steps[0].step is step


def test_a_receiver_that_takes_all_at_once_asks_for_pulling() -> None:
    queue = {"name": "q", "vhost": "/", "messages": 90, "consumers": 1}
    queue["arguments"] = DEAD_LETTERS
    consumer = {"queue": {"name": "q", "vhost": "/"}, "prefetch_count": 0}
    sample = a_sample(
        queues=[queue, ASIDE], exchanges=[DLX], bindings=[BOUND], consumers=[consumer]
    )

    report = examine(Snapshot(sample, sample, 10.0))

    assert [one.rule for one in report.findings] == [21]
    assert [one.step for one in report.verdict.steps] == [Step.PULL]


def test_a_queue_that_grows_under_its_consumers_asks_to_relieve_the_mes() -> None:
    def at(messages: int, published: int, taken: int) -> Sample:
        stats = {"publish": published, "deliver_get": taken}
        counts = {"messages": messages, "consumers": 1, "message_stats": stats}
        queue = {"name": "q", "vhost": "/", "arguments": DEAD_LETTERS} | counts
        return a_sample(queues=[queue, ASIDE], exchanges=[DLX], bindings=[BOUND])

    report = examine(Snapshot(at(100, 100, 0), at(190, 200, 10), 10.0))

    assert report.findings == []
    assert [one.step for one in report.verdict.steps] == [Step.RELIEVE]
    assert "100 came in and 10 were taken" in text(report)


DEAD_LETTERS = {"x-dead-letter-exchange": "aside"}
ASIDE = {"name": "aside", "vhost": "/", "messages": 3}
DLX = {"name": "aside", "vhost": "/", "type": "fanout"}
BOUND = {"source": "aside", "vhost": "/", "destination": "aside"}


def test_what_people_put_aside_is_no_queue_without_a_receiver() -> None:
    queue = {"name": "q", "vhost": "/", "arguments": DEAD_LETTERS, "messages": 2}
    sample = a_sample(queues=[queue, ASIDE], exchanges=[DLX], bindings=[BOUND])

    found = examine(Snapshot(sample, sample, 10.0)).findings

    assert [(one.rule, one.place.name) for one in found] == [(24, "q")]
    assert found[0].effects == (Effect.STALLS,)


def test_without_prometheus_losses_are_a_lower_bound() -> None:
    exchange = {"name": "shop", "vhost": "/", "type": "direct"}
    stats = {"message_stats": {"publish_in": 10, "publish_out": 6}}
    bound = {"source": "shop", "vhost": "/", "destination": "q"}
    sample = a_sample(exchanges=[exchange | stats], bindings=[bound])

    report = examine(Snapshot(sample, sample, 10.0))

    assert (report.lost.total, report.lost.exact) == (4, False)
    assert "4 or more" in text(report)


def test_what_could_not_be_read_accuses_nobody() -> None:
    replies = recorded()
    replies |= {"exchanges": [], "bindings": []}
    replies["unseen"] = [{"what": "exchanges", "why": "missing"}, {"what": "bindings", "why": "x"}]

    assert {10, 13, 14} & rules_of(snapshot(replies)) == set()
    replies["unseen"] = []
    assert 13 in rules_of(snapshot(replies))


def test_an_alternate_exchange_by_a_policy_that_cannot_be_read_is_believed() -> None:
    shop = {"name": "shop", "vhost": "/", "policy": "strays"}
    unseen = [{"what": "policies", "why": "rights:monitoring"}]
    hidden, shown = a_sample(exchanges=[shop], unseen=unseen), a_sample(exchanges=[shop])

    assert rules_of(Snapshot(hidden, hidden, 10.0)) == set()
    assert rules_of(Snapshot(shown, shown, 10.0)) == {10}


def test_names_of_the_brokers_cannot_command_the_terminal() -> None:
    hostile = "orders\x1b[2J\x9b2J\nall is well"
    sample = a_sample(queues=[{"name": hostile, "vhost": "/", "durable": False}])

    told = text(examine(Snapshot(sample, sample, 10.0)))

    assert all(one.isprintable() or one == "\n" for one in told)
    assert "\nall is well" not in told


def test_names_of_the_brokers_cannot_become_markup() -> None:
    hostile = "<script>alert(1)</script>"
    sample = a_sample(queues=[{"name": hostile, "vhost": hostile, "durable": False}])

    told = page(examine(Snapshot(sample, sample, 10.0), "ru"))

    assert "<script" not in told
    assert "&lt;script&gt;" in told


@pytest.mark.parametrize(
    "kind, pattern, key, reached",
    [
        ("direct", "orders", "orders", True),
        ("direct", "orders", "order", False),
        ("fanout", "", "anything", True),
        ("topic", "orders.#", "orders", True),
        ("topic", "orders.#", "orders.new.eu", True),
        ("topic", "#.eu", "orders.eu", True),
        ("topic", "#", "orders.new", True),
        ("topic", "orders.*", "orders.new", True),
        ("topic", "orders.*", "orders.new.eu", False),
        ("topic", "orders.*.eu", "ordersxnew.eu", False),
        ("direct", "orders", None, True),
    ],
)
def test_bindings_reach_as_the_broker_routes(
    kind: str, pattern: str, key: str | None, *, reached: bool
) -> None:
    assert matches(kind, pattern, key) is reached
