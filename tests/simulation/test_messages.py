"""What is really said in a simulated world is what was promised to whoever listens."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from jsonschema import Draft202012Validator

from orderkeep.delivery.cloud_events import structured
from orderkeep.http.door.public_events import cloud_event, event_view, is_public
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.events import Recorded
from orderkeep.orders.messages import (
    BODIES,
    FLOOR_WORD,
    ORDER_CANCELLED,
    PRICE_WANTED,
    RECALL_WANTED,
    WORK_ORDER_WANTED,
)
from orderkeep.orders.tracking import Announced
from orderkeep.roles.contracts import contracts
from orderkeep.testing.store import SimStore
from orderkeep.testing.world import World

HISTORIES = 80
USUAL = (PRICE_WANTED, WORK_ORDER_WANTED, RECALL_WANTED, ORDER_CANCELLED, FLOOR_WORD)
SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


def histories() -> Iterator[World]:
    store = SimStore()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(HISTORIES):
            world = World(seed, store, Path(folder) / str(seed))
            world.run()
            yield world


def history(store: SimStore, no: OrderNo) -> list[Recorded]:
    """What partners may be told of an order."""
    told = store.read_now(lambda work: work.orders.history(no))
    return [one for one in told if is_public(one.event)]


def test_everything_that_is_said_is_as_promised() -> None:
    promised = {
        (one.family, one.name): Draft202012Validator(
            json.loads((SCHEMAS / f"{one.place}.json").read_bytes())
        )
        for one in contracts()
    }
    said = set()
    for world in histories():
        for kind, version, body in world.store.raw.execute(
            "SELECT kind, schema_version, body FROM outbox"
        ):
            said.add(("envelopes", f"{kind}.v{version}"))
            known = msgspec.json.decode(body, type=BODIES[kind, version])
            assert json.loads(msgspec.json.encode(known)) == json.loads(body), world.seed
        for order in world.orders():
            for one in history(world.store, order.no):
                event = cloud_event(event_view(Announced(one.seq, order.client_ref, one)))
                said.add(("events", event.type))
                promised["events", event.type].validate(json.loads(structured(event)))

    names = {(one.family, one.name) for one in contracts()}
    assert said <= names
    assert {("envelopes", f"{kind}.v1") for kind in USUAL} <= said
