"""``orderkeep topology``: every difference at a real broker is named, with what to do."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orderkeep.adapters.rabbitmq.topology import EXCHANGE, UNROUTABLE, inbox_queue, topology
from orderkeep.orders.announce import routes
from orderkeep.testing.amqp_road import admin
from orderkeep.testing.rabbitmq_node import RabbitNode

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()", "topology")
BRIDGE = inbox_queue("bridge")


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode() as running:
        yield running


class Workplace:
    """Where somebody calls the command, beside a broker of which everything of ours is gone."""

    def __init__(self, node: RabbitNode, folder: Path) -> None:
        self.node = node
        self._folder = folder

    def says(self, *words: str, management: bool = True, url: str | None = None) -> tuple[int, str]:
        """Its exit status, and what it printed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ORDERKEEP_")}
        environment["ORDERKEEP_TRANSPORT_URL"] = url or self.node.url
        if management:
            environment["ORDERKEEP_BROKER_MANAGEMENT_URL"] = self.node.management_url
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self._folder, env=environment, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert self.node.password not in done.stdout + done.stderr
        return done.returncode, done.stdout or done.stderr

    def found(self, *words: str, management: bool = True) -> list[dict[str, Any]]:
        """The differences, as JSON tells them."""
        code, told = self.says(*words, "--json", management=management)
        differences: list[dict[str, Any]] = json.loads(told)["differences"]
        assert code == (1 if differences else 0)
        return differences


@pytest.fixture
def at(node: RabbitNode, tmp_path: Path) -> Workplace:
    asyncio.run(clear(node))
    return Workplace(node, tmp_path)


async def clear(node: RabbitNode) -> None:
    names = await asyncio.to_thread(node.ctl, "list_queues", "--no-table-headers", "name")
    async with admin(node.url) as channel:
        for name in names.split():
            await channel.queue_delete(name)
        for exchange in (EXCHANGE, UNROUTABLE, "orderkeep.dead"):
            await channel.exchange_delete(exchange)


def test_what_is_missing_is_named_then_made(at: Workplace) -> None:
    missing = at.found("--check")

    assert {one["kind"] for one in missing} == {"missing", "binding"}
    assert f"queue {BRIDGE}" in {one["thing"] for one in missing}
    assert all("--declare" in one["do"] for one in missing)
    assert at.found("--declare") == []
    assert at.says("--check") == (0, "The broker is as it has to be.\n")


def test_every_drift_is_named_with_what_to_do(at: Workplace) -> None:
    at.found("--declare")
    asyncio.run(harm(at.node))
    try:
        # The management pages show a policy with their next sample.
        found: dict[tuple[str, str], dict[str, Any]] = {}
        ends = time.monotonic() + 60
        while "policy" not in {kind for kind, _ in found} and time.monotonic() < ends:
            found = {(one["kind"], one["thing"]): one for one in at.found("--check")}
        code, text = at.says("--check")
    finally:
        at.node.ctl("clear_policy", "tidy")

    assert set(found) == {
        ("alternate-exchange", f"exchange {EXCHANGE}"),
        ("argument", f"queue {inbox_queue('quoting')}"),
        ("binding", f"binding of {BRIDGE} to {EXCHANGE}"),
        ("stranger", f"binding of {BRIDGE} to amq.direct"),
        ("policy", f"queue {UNROUTABLE}"),
    }
    policy = found["policy", f"queue {UNROUTABLE}"]
    assert policy["found"].startswith("policy tidy sets message-ttl 600000")
    assert all(one["do"] for one in found.values())
    assert code == 1
    assert text.splitlines()[-1].endswith(" differences")


async def harm(node: RabbitNode) -> None:
    """Whatever others do to a broker in the course of a year."""
    async with admin(node.url) as channel:
        await channel.queue_unbind(BRIDGE, EXCHANGE, "work_order.wanted")
        await channel.queue_bind(BRIDGE, "amq.direct", "orders")
        await channel.queue_delete(inbox_queue("quoting"))
        await channel.queue_declare(
            inbox_queue("quoting"), durable=True, arguments={"x-queue-type": "quorum"}
        )
        await channel.queue_bind(inbox_queue("quoting"), EXCHANGE, "price.wanted")
        await channel.exchange_delete(EXCHANGE)
        await channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
        for queue, key in BOUND:
            await channel.queue_bind(queue, EXCHANGE, key)
    rules = '{"message-ttl":600000}'
    words = ("set_policy", "--apply-to", "queues", "tidy", f"^{UNROUTABLE}$", rules)
    await asyncio.to_thread(node.ctl, *words)


BOUND = [
    (one.queue, one.key)
    for one in topology(routes(floor=True)).bindings
    if one.exchange == EXCHANGE and one.key != "work_order.wanted"
]


def test_without_the_management_api_amqp_tells_what_it_can(at: Workplace) -> None:
    at.found("--declare", management=False)

    async def change() -> None:
        async with admin(at.node.url) as channel:
            await channel.queue_delete(BRIDGE)
            await channel.queue_declare(BRIDGE, durable=True)
            await channel.exchange_delete("orderkeep.dead")

    asyncio.run(change())
    found = {one["thing"]: one["kind"] for one in at.found("--check", management=False)}

    assert found == {f"Queue {BRIDGE}": "told", "Exchange orderkeep.dead": "missing"}


def test_the_description_is_a_file_that_the_broker_imports(at: Workplace) -> None:
    code, told = at.says("--json")
    assert code == 0
    file = at.node.folder / "definitions.json"
    file.write_text(told)
    file.chmod(0o644)
    at.node.ctl("import_definitions", str(file))

    assert at.found("--check") == []
    assert f"queue {BRIDGE} x-queue-type=quorum" in at.says()[1]


def test_who_cannot_look_says_so(at: Workplace) -> None:
    code, told = at.says("--check", url="amqp://maker:wrong@127.0.0.1:1/")
    assert (code, "does not answer" in told) == (69, True)

    code, told = at.says("--check", url="embedded:")
    assert (code, "There is no RabbitMQ" in told) == (64, True)
