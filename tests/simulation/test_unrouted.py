"""An envelope that nobody knows what to do with: put aside and shown, in nobody's way."""

import sqlite3

import pytest
import structlog

from orderkeep.adapters.embedded import NOBODY
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId, OrderNo
from orderkeep.orders.order import Stage
from orderkeep.testing.process import NOON
from orderkeep.testing.town import Town

UNKNOWN = "order.weighed"


def announce(town: Town, no: OrderNo) -> Envelope:
    """Something that an older or newer version announced."""
    envelope = Envelope(EnvelopeId("unknown-1"), UNKNOWN, 1, no, NOON, "0" * 32, b"{}")
    town.store.write_now(lambda work: work.outbox.post([envelope]))
    return envelope


def inbox(raw: sqlite3.Connection) -> list[tuple[object, ...]]:
    return raw.execute(
        "SELECT message_id, dead_at IS NOT NULL, why FROM inbox WHERE consumer = ?", (NOBODY,)
    ).fetchall()


async def test_what_nobody_takes_does_not_stop_what_comes_behind_it() -> None:
    """It stayed the first unsent envelope of its order, and the order stood still for ever."""
    town = Town()
    no = await town.submit()
    await town.process.steps["relay"]()
    announce(town, no)
    for name in ("inbox quoting", "price", "relay", "relay", "inbox bridge", "send"):
        await town.process.steps[name]()

    assert town.see(no).stage is Stage.MANUFACTURING_APPROVED
    assert town.mes.effects == {no: 1}


async def test_what_nobody_takes_is_kept_told_and_shown() -> None:
    town = Town()
    no = await town.submit()
    await town.process.steps["relay"]()
    envelope = announce(town, no)

    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            await town.process.steps["relay"]()

    [parked] = [line for line in said if line["event"] == "envelope.parked"]
    assert (parked["log_level"], parked["envelope_id"], parked["kind"]) == (
        "error",
        envelope.id,
        UNKNOWN,
    )
    assert inbox(town.store.raw) == [(envelope.id, 1, "nobody takes this kind")]
    hops = town.store.read_now(lambda work: work.board.hops(no, [], [NOON]))
    assert (NOBODY, "dead") in [(hop.from_, hop.state) for hop in hops]
    assert town.store.read_now(lambda work: work.board.backlog(NOON)).unrouted == 1


async def test_what_comes_twice_is_put_aside_once() -> None:
    town = Town()
    no = await town.submit()
    await town.process.steps["relay"]()
    envelope = announce(town, no)
    await town.process.steps["relay"]()
    town.store.raw.execute("UPDATE outbox SET sent_at = NULL WHERE id = ?", (envelope.id,))

    await town.process.steps["relay"]()

    assert len(inbox(town.store.raw)) == 1


@pytest.fixture(autouse=True)
def _fresh_logger() -> None:
    structlog.reset_defaults()
