"""What the doctor reads without the management API, against a real broker and its own papers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import httpx
import pytest

from orderkeep.adapters.rabbitmq_management import CannotLook
from orderkeep.adapters.rabbitmq_probe import probe
from orderkeep.doctor.examine import examine
from orderkeep.testing.rabbitmq_node import RabbitNode

DOCTOR = (sys.executable, "-c", "from orderkeep.cli import app; app()", "doctor", "rabbitmq")


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode() as running:
        asyncio.run(fill(running.url))
        yield running


async def fill(url: str) -> None:
    """A shop that loses orders: one queue lets them expire, of the other nobody takes any."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("shop", "topic", durable=True)
        await channel.declare_queue("late", durable=True, arguments={"x-message-ttl": 60_000_000})
        await channel.declare_queue("orders", durable=True)
        for _ in range(3):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "orders")


def asked(*words: str) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [*DOCTOR, *words, "--json"], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def rules_of(report: dict[str, object]) -> set[tuple[int, str]]:
    findings = report["findings"]
    assert isinstance(findings, list)
    return {(one["rule"], one["place"]["name"]) for one in findings}


def test_over_amqp_it_tells_what_rests_and_claims_nothing_else(node: RabbitNode) -> None:
    found = asyncio.run(probe(node.url, ["orders", "late", "gone"], ["shop", "nowhere"], 0.1))
    report = examine(found)

    assert [(one.rule, one.place.name, one.at_risk) for one in report.findings] == [
        (24, "orders", 3)
    ]
    assert report.asked == [24]
    assert report.version.startswith("3.")
    told = {one.what: one.why for one in report.unseen}
    assert (told["queue gone"], told["exchange nowhere"]) == ("absent", "absent")
    assert "exchange shop" not in told
    assert told["settings, programs, counters"] == "amqp"


def test_who_may_nothing_sees_as_much_and_changes_nothing(node: RabbitNode) -> None:
    node.ctl("add_user", "watcher", "secret-word")
    node.ctl("set_permissions", "watcher", "^$", "^$", "^$")
    url = node.url.replace(node.url.split("//")[1].split("@")[0], "watcher:secret-word")
    before = node.ctl("list_queues", "name", "messages")

    report = examine(asyncio.run(probe(url, ["orders", "gone"], ["shop"], 0.1)))

    assert [one.rule for one in report.findings] == [24]
    assert node.ctl("list_queues", "name", "messages") == before


def test_a_wrong_password_is_told_without_the_password(node: RabbitNode) -> None:
    url = node.url.replace(node.url.split("//")[1].split("@")[0], "nobody:secret-word")

    with pytest.raises(CannotLook) as refused:
        asyncio.run(probe(url, ["orders"], [], 0.0))

    assert "secret-word" not in str(refused.value)


def test_the_brokers_own_report_is_read(node: RabbitNode, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text(node.ctl("report"))

    status, report = asked("--report", str(path))

    assert status == 1
    assert {(16, "late"), (12, "orders"), (24, "orders")} <= rules_of(report)
    assert str(report["version"]).startswith("3.")


def test_the_brokers_own_export_says_what_the_broker_itself_says(
    node: RabbitNode, tmp_path: Path
) -> None:
    path = tmp_path / "definitions.json"
    path.write_bytes(
        httpx.get(f"{node.management_url}/api/definitions", trust_env=False, timeout=60).content
    )

    _, papers = asked("--definitions", str(path))
    _, live = asked("--url", node.management_url, "--seconds", "0")

    settings = papers["asked"]
    assert isinstance(settings, list)
    assert rules_of(papers) == {one for one in rules_of(live) if one[0] in settings}
    assert (16, "late") in rules_of(papers)


@pytest.mark.parametrize(
    "words",
    [(), ("--definitions", "a", "--report", "b"), ("--url", "http://x", "--queue", "orders")],
)
def test_what_is_asked_wrongly_is_told(words: tuple[str, ...]) -> None:
    assert asked(*words)[0] == 64


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff")

    status, told = asked("--definitions", str(path))

    assert status == 2
    assert "no export" in str(told["said"])
