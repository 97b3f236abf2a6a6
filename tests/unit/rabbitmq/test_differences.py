"""What is different at a broker is named one by one, with what to do."""

from typing import Any

import msgspec
import pytest

from orderkeep.adapters.rabbitmq.differences import Difference, differences
from orderkeep.adapters.rabbitmq.topology import EXCHANGE, Topology, topology
from orderkeep.doctor import snapshot as seen

VHOST = "orderkeep"
ROUTES = {"priced": ("bridge",), "cancelled": ("bridge", "floor")}
WANTED = topology(ROUTES)
INBOX = "orderkeep.inbox.bridge"

LONGER = {
    **next(one.arguments for one in WANTED.queues if one.name == INBOX),
    "x-max-length": 5,
}


def a_broker(wanted: Topology = WANTED) -> seen.Sample:
    """A broker that has all of it, and something of another virtual host."""
    return seen.Sample(
        exchanges=[
            seen.Exchange(one.name, VHOST, one.type, arguments=dict(one.arguments))
            for one in wanted.exchanges
        ],
        queues=[seen.Queue(one.name, VHOST, arguments=dict(one.arguments)) for one in wanted.queues]
        + [seen.Queue(INBOX, "elsewhere", durable=False)],
        bindings=[
            seen.Binding(one.exchange, VHOST, one.queue, routing_key=one.key)
            for one in wanted.bindings
        ]
        + [seen.Binding("", VHOST, one.name, routing_key=one.name) for one in wanted.queues],
    )


def changed(what: str, name: str, **values: Any) -> seen.Sample:
    """The same broker, with one thing changed."""
    broker = a_broker()
    things = [
        msgspec.structs.replace(one, **values) if (one.name, one.vhost) == (name, VHOST) else one
        for one in getattr(broker, what)
    ]
    return msgspec.structs.replace(broker, **{what: things})


def only(sample: seen.Sample) -> Difference:
    [found] = differences(WANTED, sample, VHOST)
    return found


def test_a_broker_that_has_everything_shows_no_difference() -> None:
    assert differences(WANTED, a_broker(), VHOST) == []


def test_an_empty_broker_misses_everything() -> None:
    found = differences(WANTED, seen.Sample(), VHOST)

    expected = len(WANTED.exchanges) + len(WANTED.queues) + len(WANTED.bindings)
    assert (
        [one.kind for one in found].count("missing") + [one.kind for one in found].count("binding")
        == expected
        == len(found)
    )


@pytest.mark.parametrize(
    "what, name, values, kind, part",
    [
        ("exchanges", EXCHANGE, {"type": "topic"}, "type", "topic"),
        ("exchanges", EXCHANGE, {"durable": False}, "not-durable", "restart"),
        ("exchanges", EXCHANGE, {"arguments": []}, "alternate-exchange", "none"),
        ("queues", INBOX, {"durable": False}, "not-durable", "restart"),
        ("queues", INBOX, {"arguments": LONGER}, "argument", "x-max-length 5"),
    ],
)
def test_a_changed_thing_is_named_with_what_it_should_be(
    what: str, name: str, values: dict[str, Any], kind: str, part: str
) -> None:
    found = only(changed(what, name, **values))

    assert (found.kind, name in found.thing) == (kind, True)
    assert part in found.found
    assert found.do


def test_a_missing_and_a_foreign_binding_are_told_apart() -> None:
    broker = a_broker()
    missing = [one for one in broker.bindings if one.routing_key != "priced"]
    foreign = [*broker.bindings, seen.Binding("shop", VHOST, INBOX, routing_key="orders")]

    lost = only(msgspec.structs.replace(broker, bindings=missing))
    added = only(msgspec.structs.replace(broker, bindings=foreign))

    assert (lost.kind, lost.wanted, lost.found) == ("binding", "by priced", "not there")
    assert (added.kind, added.found) == ("stranger", "by orders")


def test_a_foreign_policy_that_bites_is_named_and_one_that_repeats_us_is_not() -> None:
    harmless = {"delivery-limit": 50, "max-age": "1D"}
    assert differences(
        WANTED,
        changed("queues", INBOX, policy="all", effective_policy_definition=harmless),
        VHOST,
    ) == []  # fmt: skip

    found = only(
        changed(
            "queues",
            INBOX,
            policy="tidy",
            operator_policy="ops",
            effective_policy_definition={"message-ttl": 60000},
        )
    )

    assert (found.kind, found.found.split(":")[0]) == (
        "policy",
        "policy tidy and ops sets message-ttl 60000",
    )
    assert "Narrow the pattern" in found.do


def test_a_policy_that_sends_the_unroutable_elsewhere_is_named() -> None:
    broker = changed("exchanges", EXCHANGE, policy="catch")
    rules = {"alternate-exchange": "waste"}
    policies = [seen.Policy("catch", VHOST, ".*", rules)]

    found = only(msgspec.structs.replace(broker, policies=policies))

    assert (found.kind, "alternate-exchange waste" in found.found) == ("policy", True)
