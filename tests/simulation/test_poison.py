"""One row that always fails stops no other, and a person sees it with its cause."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from orderkeep.bridge.dispatch import Bridge, BridgeSettings
from orderkeep.bridge.line import TRIES
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.ports import Mes, MesJob
from orderkeep.bridge.tray import TrayState
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import OrderNo, WorkOrderRef, order_n
from orderkeep.orders.order import Delivered
from orderkeep.testing.mes import SimMes
from orderkeep.testing.people import SENDER, Client
from orderkeep.testing.town import Town


async def two_orders(town: Town) -> list[OrderNo]:
    """Two approved orders, the first about to be sent before the second."""
    numbers = []
    for n in (1, 2):
        client = Client(f"ref-{n}", f"key-{n}")
        accepted = await town.process.intake.accept(SENDER, client.key, client.body())
        numbers.append(accepted.order_no)
        for name in ("relay", "inbox quoting", "price", "relay", "inbox bridge"):
            await town.process.steps[name]()
        town.clock.true += timedelta(seconds=1)
    return numbers


def one_at_a_time(town: Town, mes: Mes) -> Bridge:
    one = BridgeSettings(concurrency=1, poll=timedelta(seconds=1))
    return Bridge(town.store, town.process.master, mes, town.clock, one, "two")


async def steps(town: Town, bridge: Bridge, count: int = TRIES + 2) -> None:
    """As a worker loop takes them: it goes on after a failure."""
    for _ in range(count):
        with suppress(Exception):
            await bridge.step()
        town.clock.true += timedelta(seconds=2)


def row_of(town: Town, no: OrderNo) -> Delivery:
    row = town.store.read_now(lambda work: work.deliveries.get("mes", no))
    assert row is not None
    return row


async def test_an_order_that_cannot_be_read_stops_no_other_and_lies_in_the_tray() -> None:
    town = Town()
    first, second = await two_orders(town)
    town.store.raw.execute("UPDATE events SET data = '{}' WHERE order_n = ?", (order_n(first),))
    bridge = one_at_a_time(town, town.mes)

    await steps(town, bridge)

    assert town.delivered(second) in {Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED}
    row = row_of(town, first)
    assert (row.state, row.next_at) == (Delivered.DIVERGED, None)
    kept = town.store.read_now(lambda work: work.tray.page(TrayState.OPEN, None, 10))
    assert [first.encode() in one.body for one in kept] == [True]
    assert kept[0].why.partition(": ")[2] == row.detail
    await bridge.step()


class Choking:
    """A MES of which we do not bear what it says of one work order."""

    def __init__(self, mes: SimMes) -> None:
        self._mes = mes
        self.chokes: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mes, name)

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        if reference == self.chokes:
            raise KeyError("jobs")
        return await self._mes.find(reference)


async def test_an_answer_that_we_cannot_bear_stops_no_other_and_stands_on_its_order() -> None:
    town = Town()
    first, second = await two_orders(town)
    choking = Choking(town.mes)
    bridge = one_at_a_time(town, choking)
    choking.chokes = first
    await steps(town, bridge, 2)
    town.mes.advance(second)

    await steps(town, bridge, 2 * TRIES)

    assert town.delivered(second) is Delivered.APPLIED
    work = town.see(first).work_order
    assert work is not None
    assert (work.delivered, row_of(town, first).next_at) == (Delivered.DIVERGED, None)
    assert row_of(town, first).detail == "KeyError"
    await bridge.step()


async def test_a_store_that_is_busy_says_nothing_of_a_row() -> None:
    town = Town()
    no = await town.order()
    bridge = one_at_a_time(town, town.mes)
    for _ in range(2 * TRIES):
        town.store.busy_writes = iter((True,))
        with pytest.raises(StoreBusy):
            await bridge.step()

    await steps(town, bridge, 1)

    assert town.delivered(no) is Delivered.CONFIRMED
