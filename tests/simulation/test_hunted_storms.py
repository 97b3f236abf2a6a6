"""Found by attack: what fails again and again must cost less and less, and end with a person."""

from datetime import timedelta
from typing import Any

import pytest

from orderkeep.bridge.sending import LONGEST_PAUSE
from orderkeep.orders import commands as c
from orderkeep.orders.events import Cause
from orderkeep.orders.order import Delivered, PriceState, Stage
from orderkeep.quoting import desk
from orderkeep.testing.people import HEAD
from orderkeep.testing.town import Town

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


async def live_through(town: Town, time: timedelta, moment: timedelta) -> None:
    """The bridge looks as often as ``moment`` while ``time`` passes."""
    for _ in range(time // moment):
        await town.later(moment)


async def test_a_mes_that_is_away_for_an_hour_does_not_fill_its_orders_with_tries() -> None:
    """Every five seconds each waiting order got two events: 34,000 in a day without the MES."""
    town = Town()
    no = await town.order()
    before = town.see(no).version
    town.faults.mes = ["away"] * 10_000

    await live_through(town, timedelta(hours=1), 2 * SECOND)

    assert town.see(no).version - before < 150
    assert town.delivered(no) is Delivered.PENDING


async def test_a_mes_that_comes_back_is_found_within_a_minute() -> None:
    town = Town()
    no = await town.order()
    town.faults.mes = ["away"] * 40
    await live_through(town, timedelta(hours=1), 2 * SECOND)
    town.faults.mes = []

    await live_through(town, timedelta(seconds=62), 2 * SECOND)

    assert town.mes.effects == {no: 1}


async def test_a_mes_that_fails_at_once_is_not_asked_without_a_pause() -> None:
    """With idempotency the repeat came at once: 30 events a second on every order it held."""
    town = Town(idempotency="key")
    no = await town.order()
    before = town.see(no).version
    town.faults.mes = ["lost"] * 10_000

    await live_through(town, timedelta(hours=1), SECOND)

    assert town.delivered(no) is Delivered.UNCERTAIN
    assert town.see(no).version - before < 40
    town.faults.mes = []
    await live_through(town, LONGEST_PAUSE + SECOND, SECOND)
    assert town.mes.effects == {no: 1}


async def test_what_is_wanted_back_is_asked_for_at_once() -> None:
    """It waited for the next look at the MES, and was begun meanwhile."""
    town = Town()
    no = await town.order()
    await town.process.steps["send"]()
    cause = Cause(HEAD, "CancelOrder", "office", "")
    await town.process.master.handle(no, c.CancelOrder("changed my mind"), cause)

    for name in ("relay", "inbox bridge", "send"):
        await town.process.steps[name]()

    assert town.see(no).stage is Stage.CANCELLED


async def test_a_full_disk_lets_the_inbox_rest_instead_of_spinning() -> None:
    """A step that moved nothing said it had work: a loop without a pause, a log line a row."""
    town = Town()
    await town.submit()
    await town.process.steps["relay"]()
    town.store.busy_writes = iter([True])

    assert await town.process.steps["inbox quoting"]() == 0
    assert await town.process.steps["inbox quoting"]() == 1


async def test_a_question_that_we_fail_at_ends_with_a_seller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of ours in pricing brought the question back every five minutes, for ever."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk, "quote_order", broken)
    town = Town()
    no = await town.submit()
    await town.process.steps["relay"]()
    await town.process.steps["inbox quoting"]()

    for _ in range(desk.ATTEMPTS):
        await town.process.steps["price"]()
        town.clock.true += desk.PAUSE

    assert town.see(no).stage is Stage.SUBMITTED
    assert town.see(no).price.state is PriceState.FAILED
