"""Two of every role on PostgreSQL and RabbitMQ; each role is killed while orders are under way.

Fourteen processes: `make faults` runs it.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.testing.crew import Crew, Hand
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Keys, prepare
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import MES, Shop, check, until

PREPARED = "prepared_for_pairs"
BEHIND = ("relay", "quoter", "bridge", "watch")
BATCH = 5
DRAIN_S = 780.0
"""A killed quoter's question is free again when its lease ends, after nine minutes."""


@pytest.fixture
def crew(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[Crew, PracticeMesProcess]]:
    keys: Keys = prepare(tmp_path, postgres.database(name=PREPARED))
    url = postgres.database(PREPARED)
    with (
        RabbitNode() as node,
        PracticeMesProcess(tmp_path / "journal.jsonl", "--lag", "0.2") as mes,
        Crew(
            tmp_path / "crew", keys, url, **MES, mes_url=mes.address, transport_url=node.url
        ) as started,
    ):
        yield started, mes
    postgres.drop(url)


def serving(parent: Hand) -> set[int]:
    """The processes behind a port."""
    pid = parent.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(one) for one in listed.split()}


def kill_one_of(parent: Hand) -> None:
    """Its parent has to put another in its place."""
    before = serving(parent)
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(serving(parent) - before) == 1, "nobody took its place")


def persistent(shop: Shop) -> bool:
    """As a partner does: whoever got no answer asks again."""
    try:
        return shop.at_rest()
    except (Gone, AssertionError):
        return False


def sent(shop: Shop) -> bool:
    try:
        shop.send_all()
    except Gone:
        return False
    return True


def begun(crew: Crew, role: str, workers: int = 1) -> Hand:
    """One after the other: all at once they would wait for each other's processor."""
    crew.begin(hand := crew.add(role, workers=workers))
    return hand


def test_every_role_is_killed_in_turn_and_nothing_is_lost_or_doubled(
    crew: tuple[Crew, PracticeMesProcess],
) -> None:
    product, mes = crew
    ports = {role: begun(product, role, 2) for role in ("door", "office")}
    pairs = {role: [begun(product, role), begun(product, role)] for role in BEHIND}
    shop = Shop(product)
    shop.wanted = 0

    for role in ("quoter", "door", "relay", "bridge", "watch", "office"):
        shop.wanted += BATCH
        until(lambda: sent(shop), "orders are refused for ever")
        if role in ports:
            kill_one_of(ports[role])
        else:
            pairs[role][0].kill()
            shop.wanted += BATCH
            until(lambda: sent(shop), "orders are refused for ever")
            begun(product, role)

    until(lambda: persistent(shop), "not every order came to rest", DRAIN_S)
    assert len(shop.receipts) == shop.wanted
    check(product, shop, mes.effects())
