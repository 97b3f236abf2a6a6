"""The doctor at a real RabbitMQ: whatever a maker's programs do wrong is found, with evidence."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.doctor.examine import examine
from orderkeep.doctor.snapshot import Snapshot
from orderkeep.testing.doctor_cases import (
    ALARM,
    PLUGINS,
    PROVOKED,
    QUORUM,
    SHOWN_WITHIN_S,
    Seen,
    Shop,
    look_until,
    message,
    taken,
)
from orderkeep.testing.rabbitmq_node import RabbitNode


class Told(NamedTuple):
    """What the command answered."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        return json.loads(self.out)


async def doctor(url: str, metrics_url: str, *words: str) -> Told:
    """The command as a person calls it; the address, with its password, by the environment."""
    program = Path(sys.executable).parent / "orderkeep"
    environment = {**os.environ, "ORDERKEEP_DOCTOR_URL": url}
    command = ["doctor", "rabbitmq", "--metrics-url", metrics_url, "--seconds", "0", *words]
    process = await asyncio.create_subprocess_exec(
        program,
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Told(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=PLUGINS) as running:
        yield running


@asynccontextmanager
async def all_provoked(node: RabbitNode) -> AsyncIterator[Mapping[int, Seen]]:
    """Every case at once, each at a virtual host named after its rule."""
    async with AsyncExitStack() as stack:
        shops = {number: Shop(node, f"rule-{number}") for number in PROVOKED}
        for shop in shops.values():
            await shop.open()
            stack.push_async_callback(shop.close)
        seen = {number: await PROVOKED[number](shop) for number, shop in shops.items()}
        yield seen


def missing(number: int, seen: Seen, findings: Sequence[Mapping[str, Any]]) -> str | None:
    """What a report lacks of a rule's case; None if it is all there."""
    own = [
        one
        for one in findings
        if one["rule"] == number
        if one["place"].get("vhost") in {f"rule-{number}", None}
        if seen.name in {None, one["place"]["name"]}
    ]
    if not own:
        return f"rule {number} was not found at {seen.name}"
    wanted = dict(seen.evidence)
    if any({**one["evidence"], **wanted} == one["evidence"] for one in own):
        return None
    return f"rule {number}: wanted {wanted}, got {[one['evidence'] for one in own]}"


def lacks(cases: Mapping[int, Seen], snapshot: Snapshot) -> list[str]:
    """What the report of two looks lacks of what was provoked."""
    findings = msgspec.to_builtins(examine(snapshot))["findings"]
    found = (missing(number, seen, findings) for number, seen in cases.items())
    return [lack for lack in found if lack is not None]


async def test_what_programs_and_settings_do_wrong_is_found(node: RabbitNode) -> None:
    async with all_provoked(node) as cases:
        with RabbitManagement(node.management_url) as broker:
            snapshot = await look_until(broker, lambda looks: not lacks(cases, looks))
        told = await doctor(node.management_url, node.metrics_url, "--json")

    assert lacks(cases, snapshot) == []
    assert told.status == 1
    assert node.password not in told.out + told.err
    findings = told.report["findings"]
    assert all(one["title"] and one["meaning"] and one["advice"] for one in findings)


async def test_the_commands_do_what_they_say(node: RabbitNode, tmp_path: Path) -> None:
    """Twice: a policy for all queues also reaches the new place for dead letters."""
    shop = Shop(node, "healed")
    await shop.open()
    await shop.policy("short", 2, {"max-length": 100})
    await shop.queue(arguments=QUORUM)
    await _obey(node, await _findings(shop, {12, 17, 18, 30}), tmp_path)
    await _obey(node, await _findings(shop, {30, 35}), tmp_path)
    await _findings(shop, {30})  # More members need more nodes.
    await shop.close()


async def _findings(shop: Shop, rules: set[int]) -> list[Any]:
    """The findings about queues, as soon as they are of these rules and no others."""
    words = ("--json", "--vhost", shop.vhost)
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while True:
        told = await doctor(shop.node.management_url, shop.node.metrics_url, *words)
        found = [one for one in told.report["findings"] if one["place"]["kind"] == "queue"]
        if {one["rule"] for one in found} == rules or time.monotonic() > deadline:
            assert {one["rule"] for one in found} == rules
            return found


async def _obey(node: RabbitNode, findings: Sequence[Mapping[str, Any]], folder: Path) -> None:
    for command in dict.fromkeys(line for one in findings for line in one["fix"]):
        await asyncio.to_thread(run, node, command, folder)


def run(node: RabbitNode, command: str, folder: Path) -> None:
    """A command of the doctor's; ``rabbitmqadmin`` is what the node itself hands out."""
    program, *words = shlex.split(command)
    if program == "rabbitmqctl":
        node.ctl(*words)
        return
    script = folder / program
    script.write_bytes(
        httpx.get(f"{node.management_url}/cli/{program}", trust_env=False, timeout=60).content
    )
    port = node.management_url.rpartition(":")[2]
    signing_in = ["-H", "127.0.0.1", "-P", port, "-u", node.user, "-p", node.password]
    subprocess.run([sys.executable, "-Wignore", script, *signing_in, *words], check=True)


async def test_a_virtual_host_that_is_not_there_is_not_called_healthy(node: RabbitNode) -> None:
    told = await doctor(node.management_url, node.metrics_url, "--vhost", "mistyped")

    assert told.status == 2
    assert "mistyped" in told.err


async def test_what_the_broker_threw_away_is_counted(node: RabbitNode) -> None:
    shop = Shop(node, "lost")
    await shop.open()
    before = (await doctor(node.management_url, node.metrics_url, "--json")).report["lost"]
    await _throw_away(shop)

    deadline = time.monotonic() + SHOWN_WITHIN_S
    while True:
        after = (await doctor(node.management_url, node.metrics_url, "--json")).report["lost"]
        rise = {key: after["by"][key] - before["by"].get(key, 0) for key in after["by"]}
        if sum(rise.values()) >= 10 or time.monotonic() > deadline:
            break

    await shop.close()
    assert (after["source"], after["exact"]) == ("prometheus", True)
    assert {key: value for key, value in rise.items() if value} == {
        "delivery_limit": 1,
        "rejected": 2,
        "unroutable": 7,
    }


async def _throw_away(shop: Shop) -> None:
    """One rejected message at each type of queue, one tried too often, seven to nobody."""
    classic, quorum = await shop.queue("classic"), await shop.queue("quorum", arguments=QUORUM)
    limited = await shop.queue("limited", arguments=QUORUM | {"x-delivery-limit": 1})
    for queue in (classic, quorum, limited):
        await shop.send(queue.name, 1)
    for queue in (classic, quorum):
        await (await taken(queue)).reject()
    for _ in range(2):
        await (await taken(limited)).reject(requeue=True)
    exchange = (await shop.channel()).default_exchange
    for _ in range(7):
        await exchange.publish(message(), "nobody", mandatory=False)


async def test_an_alarm_and_who_waits_for_it_are_found(node: RabbitNode) -> None:
    shop = Shop(node, f"rule-{ALARM}")
    await shop.open()
    await shop.queue()
    channel = await shop.channel()
    await shop.counted()
    node.ctl("set_disk_free_limit", "900000GB")
    publishing = asyncio.create_task(shop.send("orders", 1, channel))
    try:
        await shop.shown("nodes", lambda nodes: nodes[0].get("disk_free_alarm"))
        await shop.shown("connections", _some_blocked)
        told = await doctor(node.management_url, node.metrics_url, "--json")
    finally:
        node.ctl("set_disk_free_limit", "50MB")
        await publishing
        await shop.close()

    found = [one for one in told.report["findings"] if one["rule"] == ALARM]
    evidence = [one["evidence"] for one in found]
    assert {"mem_alarm": False, "disk_free_alarm": True} in evidence
    assert any(one.get("health/checks/alarms") == 503 for one in evidence)
    assert any(one.get("state") in {"blocked", "blocking"} for one in evidence)


def _some_blocked(connections: Any) -> bool:
    return any(one.get("state") in {"blocked", "blocking"} for one in connections)


async def test_a_user_who_may_only_watch_is_enough_and_the_rest_is_told(node: RabbitNode) -> None:
    shop = Shop(node, "watched")
    await shop.open()
    await shop.put("users/watcher", {"password": "secret word", "tags": "monitoring"})
    nothing = {"configure": "^$", "write": "^$", "read": "^$"}
    await shop.put("permissions/watched/watcher", nothing)
    await shop.queue()
    await shop.close()
    address = node.management_url.replace(
        node.management_url.split("//")[1].split("@")[0], "watcher:secret%20word"
    )

    told = await doctor(address, "http://127.0.0.1:9/metrics", "--vhost", "watched")
    in_russian = await doctor(address, node.metrics_url, "--vhost", "watched", "--lang", "ru")
    page = await doctor(address, node.metrics_url, "--vhost", "watched", "--html")

    assert (told.status, in_russian.status, page.status) == (1, 1, 1)
    assert "permissions: the user has no right to it (needs the tag administrator)" in told.out
    assert "no answer at http://127.0.0.1:9/metrics" in told.out.replace("\n  ", " ")
    assert "queue orders (watched)" in told.out
    assert "rule-" not in told.out
    assert "очередь orders (watched)" in in_russian.out
    assert page.out.startswith("<!doctype html>")
    assert "secret" not in told.out + told.err + page.out


async def test_who_cannot_look_is_told_why(node: RabbitNode) -> None:
    shop = Shop(node, "closed")
    await shop.open()
    await shop.put("users/stranger", {"password": "secret", "tags": ""})
    await shop.close()
    host = node.management_url.split("@")[1]

    without_tag = await doctor(f"http://stranger:secret@{host}", node.metrics_url)
    without_plugin = await doctor(f"http://stranger:secret@127.0.0.1:{node.port}", node.metrics_url)
    nobody_there = await doctor("http://stranger:secret@127.0.0.1:9", node.metrics_url)
    no_address = await doctor("amqp://stranger:secret@localhost", node.metrics_url)

    for told in (without_tag, without_plugin, nobody_there, no_address):
        assert told.status == 2
        assert told.out == ""
        assert "secret" not in told.err
    assert "set_user_tags" in without_tag.err
    assert "rabbitmq_management" in nobody_there.err
