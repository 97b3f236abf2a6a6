"""Copies of what passes an existing exchange: the original never notices."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from orderkeep.adapters.rabbitmq.tap import HELD, Bound, listen
from orderkeep.intake.mapping import Message
from orderkeep.testing.amqp_road import admin
from orderkeep.testing.product import COMMAND
from orderkeep.testing.rabbitmq_node import RabbitNode

EXAMPLE = Path(__file__).parents[2] / "examples" / "taking-over"
EXCHANGE, QUEUE, KEY = "crm.events", "mes.orders", "order.submitted"


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running_node:
        yield running_node


async def present(channel: Any) -> None:
    """What the maker has: an exchange and the queue of the MES, empty."""
    await channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
    await channel.queue_declare(QUEUE, durable=True)
    await channel.queue_bind(QUEUE, EXCHANGE, KEY)
    await channel.queue_purge(QUEUE)


async def publish(channel: Any, body: bytes, **headers: Any) -> None:
    properties = aio_pika.Message(b"", headers=headers).properties
    done = await channel.basic_publish(
        body, exchange=EXCHANGE, routing_key=KEY, properties=properties, mandatory=True
    )
    assert done.name == "Basic.Ack"


async def waiting(channel: Any) -> int:
    return int((await channel.queue_declare(QUEUE, passive=True)).message_count or 0)


async def test_a_full_tap_that_nobody_reads_takes_nothing_from_the_original(
    node: RabbitNode,
) -> None:
    listening, go_on = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def take(message: Message) -> bool:
        assert go_on.wait(60)  # The reader's whole thread stands still, as a stopped process does.
        taken.append(message.body)
        return message.body != b"last"

    def read() -> None:
        bound, keys = Bound(messages=3), [KEY]
        tap = listen(node.url, EXCHANGE, keys, take, seconds=60, bound=bound, tapped=listening.set)
        asyncio.run(tap)

    async with admin(node.url) as channel:
        await present(channel)
        reader = asyncio.create_task(asyncio.to_thread(read))
        assert await asyncio.to_thread(listening.wait, 60)
        for n in range(299):
            await publish(channel, b"%d" % n)
        await publish(channel, b"last")
        assert await waiting(channel) == 300

        go_on.set()
        await reader

    assert len(taken) == HELD + 3  # All others were forgotten: ours, never theirs.


def test_the_command_counts_what_it_understands_and_leaves_nothing_when_it_is_killed(
    node: RabbitNode, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    submitted = json.loads((tmp_path / "samples/shop/submitted.json").read_text())
    body = json.dumps(submitted["body"]).encode()

    async def send() -> None:
        async with admin(node.url) as channel:
            await publish(channel, body, **submitted["headers"])
            await publish(channel, b"{}", __TypeId__="com.maker.NobodyKnowsThis")
            await publish(channel, b"Anna", **submitted["headers"])

    async def prepare() -> int:
        async with admin(node.url) as channel:
            await present(channel)
            return await waiting(channel)

    assert asyncio.run(prepare()) == 0
    killed = start(node, tmp_path)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=150)
    running = start(node, tmp_path)
    asyncio.run(send())
    told, said = running.communicate(timeout=150)

    assert running.returncode == 1, said
    lines = [line.split("\t") for line in told.splitlines()]
    assert ["1", "OrderSubmitted", "mapped"] in lines
    assert any("NobodyKnowsThis" in line[2] for line in lines)
    assert "Anna" not in told + said
    assert node.password not in told + said

    async def left() -> int:
        async with admin(node.url) as channel:
            return await waiting(channel)

    assert asyncio.run(left()) == 3


def start(node: RabbitNode, folder: Path) -> "subprocess.Popen[str]":
    """The command, once it listens."""
    process = subprocess.Popen(
        [
            *(*COMMAND, "mappings", "listen", "shop", "--exchange", EXCHANGE, "--key", KEY),
            *("--seconds", "60", "--messages", "3"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if "ORDERKEEP" not in name},
            "ORDERKEEP_TAP_URL": node.url,
        },
    )
    assert process.stderr is not None
    said = ""
    while not said.endswith("listening\n"):
        line = process.stderr.readline()
        assert line, said
        said += line
    return process
