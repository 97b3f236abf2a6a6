"""On every store: what was put aside comes in with a mended mapping, an order before its words."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orderkeep.access.keys import Partner
from orderkeep.config import Settings, load
from orderkeep.intake.accept import Intake
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.homes import CHANNEL, Flag
from orderkeep.intake.mapping import Message
from orderkeep.intake.modes import Mode, SourceState
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PartnerId, order_no
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.home import Home
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.price_book import example_book
from orderkeep.roles.taking_over import takers, trying_again
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BOOK = example_book()
TOML = """
[sources.shop]
partner = "P"

[sources.shop.messages.OrderPlaced]
client_ref = "id"
items = "[{sku: 'studs-ag', quantity: `1`}]"
customer = "{name: buyer}"

[sources.shop.messages.OrderMoved]
client_ref = "id"
status = "state"
"""


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(_live))
    return store


def _live(work: Any) -> None:
    work.access.add_partner(Partner(PartnerId("p"), "P", None, NOON))
    work.homes.put(Flag(CHANNEL, "shop", Home.MIRRORED, NOON, "t"))
    facts = {"takes": None, "by": "t", "because": "t", "now": NOON}
    work.sources.move("shop", SourceState("shop"), Mode.LIVE, **facts)


def settings(folder: Path, toml: str) -> Settings:
    (folder / "orderkeep.toml").write_text(toml, encoding="utf-8")
    return load({}, folder)[0]


def parts(store: Any) -> tuple[Any, ...]:
    clock, ids, policy = SystemClock(), Ids(), Policy()
    intake = Intake(
        store,
        store.accepting(policy),
        lambda: Catalogue(BOOK.materials, BOOK.skus),
        lambda _, now: now + policy.lead_time,
        clock,
        ids,
    )
    return store, intake, OrderMaster(store, clock, ids, policy), clock, ids


async def test_a_word_that_came_before_its_order_was_understood_is_heard_after_it(
    store: Store, tmp_path: Path
) -> None:
    """The shop has cancelled it meanwhile: its copy alone would stay open for ever."""
    broken = settings(tmp_path, TOML.replace("customer =", "customer = 'nobody' #"))
    live = takers(broken.sources["shop"], *parts(store))[Mode.LIVE]
    await live([Message(b'{"id": "S-1", "buyer": "Anna"}', {"type": "OrderPlaced"}, "", "m-1")])
    await live([Message(b'{"id": "S-1", "state": "cancelled"}', {"type": "OrderMoved"}, "", "m-2")])

    await trying_again(settings(tmp_path, TOML), *parts(store)).step()

    history = await store.read(lambda work: work.orders.history(order_no(1)))
    assert rebuild(history).stage is Stage.CANCELLED
