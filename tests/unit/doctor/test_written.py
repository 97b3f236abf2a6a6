"""What a broker's papers show, what they do not, and that both is said."""

import json
from typing import Any

import pytest

from orderkeep.doctor.examine import examine
from orderkeep.doctor.snapshot import Snapshot
from orderkeep.doctor.text import text
from orderkeep.doctor.written import OF_SETTINGS, CannotRead, of_definitions, of_report
from orderkeep.testing.doctor_cases import NEWER, case, newer, recorded, snapshot


def definitions(**more: Any) -> bytes:
    """An export with one quorum queue, whose policy gives it everything it needs."""
    good = {
        "dead-letter-exchange": "dlx",
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "delivery-limit": 20,
    }
    told: dict[str, Any] = {
        "rabbitmq_version": "3.12.1",
        "queues": [queue("orders"), queue("dead")],
        "exchanges": [exchange("dlx")],
        "bindings": [
            {"source": "dlx", "vhost": "/", "destination": "dead", "destination_type": "queue",
             "routing_key": "", "arguments": {}},
        ],
        "policies": [
            {"vhost": "/", "name": "kept", "pattern": "^orders$", "apply-to": "queues",
             "definition": good, "priority": 1},
        ],
        "permissions": [],
        "parameters": [],
    }  # fmt: skip
    return json.dumps(told | more).encode()


def queue(name: str, **arguments: Any) -> dict[str, Any]:
    told = {"x-queue-type": "quorum", **arguments}
    return {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": told}


def exchange(name: str) -> dict[str, Any]:
    return {"name": name, "vhost": "/", "type": "fanout", "durable": True, "arguments": {}}


def rules_of(found: Snapshot) -> set[tuple[int, str]]:
    return {(one.rule, one.place.name) for one in examine(found).findings}


def test_definitions_that_are_as_they_must_be_are_accused_of_nothing() -> None:
    report = examine(of_definitions(definitions()))

    assert report.findings == []
    assert {*report.asked} == OF_SETTINGS
    assert "a file of settings does not show it" in text(report)


def test_the_policy_with_the_highest_priority_is_the_one_in_force() -> None:
    shadow = {"vhost": "/", "name": "len", "pattern": "^ord", "apply-to": "all", "priority": 9,
              "definition": {"max-length": 1000}}  # fmt: skip
    whole = json.loads(definitions())

    found = rules_of(of_definitions(definitions(policies=[*whole["policies"], shadow])))

    assert {(15, "orders"), (17, "orders")} <= found


@pytest.mark.parametrize(
    "queues, rule",
    [
        ([{**queue("orders"), "durable": False}], 3),
        ([queue("orders", **{"x-expires": 600_000})], 5),
        ([queue("orders", **{"x-dead-letter-exchange": "gone"})], 13),
        ([queue("late", **{"x-message-ttl": 60_000})], 16),
    ],
)
def test_what_settings_alone_break_is_found_in_definitions(queues: list[Any], rule: int) -> None:
    found = of_definitions(definitions(queues=queues, policies=[]))

    assert rule in {number for number, _ in rules_of(found)}


@pytest.mark.parametrize("said", [b"", b"[]", b"{", b'{"queues": 7}', b"[" * 100_000, b"\xff"])
def test_what_is_no_export_is_refused_with_a_sentence(said: bytes) -> None:
    with pytest.raises(CannotRead):
        of_definitions(said)


REPORT = (
    "RabbitMQ version: 3.9.13\nCluster name: rabbit@shop\n\n"
    "Listing queues for vhost /shop ...\n"
    "name\tdurable\tauto_delete\targuments\towner_pid\texclusive\tmessages\tconsumers\tstate\ttype\n"
    'orders\ttrue\tfalse\t[{"x-message-ttl",60000},{"x-queue-mode","lazy"}]\t\tfalse\t7\t0'
    "\trunning\tclassic\n\n"
    "Listing policies for vhost /shop ...\n"
    "vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n"
    '/shop\tall\t.*\tall\t{"ha-mode":"all"}\t0\n'
)


def test_a_report_shows_settings_and_what_rests() -> None:
    report = examine(of_report(REPORT))

    assert (report.version, report.cluster, report.queues) == ("3.9.13", "rabbit@shop", 1)
    found = {one.rule: one for one in report.findings}
    assert {16, 24, 28, 29} <= found.keys()
    assert {(one.place.vhost, one.at_risk) for one in found.values()} == {("/shop", 7)}
    assert 21 not in report.asked  # it lists no programs


def test_a_report_that_lists_programs_is_asked_about_them() -> None:
    consumers = (
        "\nListing consumers in vhost /shop ...\n"
        "queue_name\tchannel_pid\tconsumer_tag\tack_required\tprefetch_count\targuments\n"
        "orders\t<1.2.3>\tmes\tfalse\t0\t[]\n"
    )

    assert (1, "orders") in rules_of(of_report(REPORT + consumers))


def test_a_report_says_the_virtual_host_in_three_ways_and_means_one() -> None:
    more = (
        "\nListing exchanges for vhost /shop ...\n"
        "name\ttype\tdurable\tauto_delete\tinternal\targuments\tpolicy\n"
        "shop.events\ttopic\ttrue\tfalse\tfalse\t[]\t\n"
        "\nListing bindings for vhost /shop...\n"
        "source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments\n"
        "shop.events\texchange\torders\tqueue\torder.submitted\t[]\n"
        '\nListing permissions for vhost "/shop" ...\n'
        "user\tconfigure\twrite\tread\n"
        "shop\t.*\t.*\t.*\n"
    )

    report = examine(of_report(REPORT + more))

    assert {one.place.vhost for one in report.findings} == {"/shop"}
    assert 10 not in {one.rule for one in report.findings}  # It leads to the queue.


def test_what_is_no_report_is_refused_with_a_sentence() -> None:
    with pytest.raises(CannotRead):
        of_report("Hello\tworld\n")


@pytest.mark.parametrize("number", sorted(NEWER))
def test_what_newer_brokers_do_otherwise_is_found(number: int) -> None:
    for found in newer(number):
        assert number in {rule for rule, _ in rules_of(found)}


def test_looks_that_were_too_close_accuse_nobody_of_holding_deliveries() -> None:
    replies = recorded()
    held = {"name": "c (1)", "vhost": "/", "consumer_count": 1, "messages_unacknowledged": 9}
    replies["channels"] = [{**held, "user": "mes", "message_stats": {"ack": 5}}]
    apart = snapshot(replies)
    close = Snapshot(apart.first, apart.second, 4.9)

    assert 22 in {rule for rule, _ in rules_of(apart)}
    assert 22 not in {rule for rule, _ in rules_of(close)}
    assert "hidden-too-close" in examine(close).hidden
    assert "hidden-too-close" not in examine(case(32)).hidden
