"""The watch among orders that it fails at."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import structlog

from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.order import Risk
from orderkeep.sla.resting import FIRST_REST, LONGEST_REST, Resting
from orderkeep.testing.office import NOON
from orderkeep.testing.people import SENDER, Client
from orderkeep.testing.town import Town

MONTH = timedelta(days=31)
SECOND = timedelta(seconds=1)
ONE, TWO = order_no(1), order_no(2)


async def some_orders(town: Town, number: int) -> list[OrderNo]:
    clients = [Client(f"ref-{n}", f"key-{n}") for n in range(number)]
    accept = town.process.intake.accept
    return [(await accept(SENDER, one.key, one.body())).order_no for one in clients]


async def two_orders(town: Town) -> tuple[OrderNo, OrderNo]:
    one, two = await some_orders(town, 2)
    return one, two


def spoil(town: Town, no: OrderNo) -> None:
    """Make the order's first event unreadable."""
    town.store.raw.execute("UPDATE events SET data = '{}' WHERE order_n = ?", (order_n(no),))


async def test_an_order_that_cannot_be_evaluated_does_not_stop_the_clock_of_others() -> None:
    """One unreadable event made every round of the watch fail, once a second, for ever."""
    town = Town()
    broken, sound = await two_orders(town)
    spoil(town, broken)
    town.clock.true += MONTH

    assert await town.process.steps["watch"]() == 1
    assert town.see(sound).risk is Risk.LATE
    assert broken != sound
    assert await town.process.steps["watch"]() == 0


async def test_a_timer_without_an_effect_does_not_make_the_watch_spin() -> None:
    """The step said that it had work, so the loop never rested: a log line every millisecond."""
    town = Town()
    await two_orders(town)
    town.store.raw.execute("UPDATE orders SET timer_at = 0")

    assert await town.process.steps["watch"]() == 0


async def test_orders_that_always_fail_never_fill_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The longest overdue came first, every round: whoever stood behind them was never reached."""
    monkeypatch.setattr("orderkeep.sla.watch.BATCH", 3)
    town = Town()
    *broken, sound = await some_orders(town, 7)
    for no in broken:
        spoil(town, no)
    town.clock.true += MONTH

    rounds = [await town.process.steps["watch"]() for _ in range(3)]

    assert town.see(sound).risk is Risk.LATE
    assert rounds == [1, 1, 1]  # A full batch that failed does not send the loop to sleep.
    assert await town.process.steps["watch"]() == 0


async def test_a_failure_is_told_once_and_tried_again_ever_later() -> None:
    town = Town()
    broken, _ = await two_orders(town)
    kept = town.store.raw.execute("SELECT data FROM events WHERE order_n = 1").fetchone()
    spoil(town, broken)
    town.clock.true += MONTH

    with structlog.testing.capture_logs() as told:
        for _ in range(100):
            await town.process.steps["watch"]()
            town.clock.true += FIRST_REST
        town.store.raw.execute("UPDATE events SET data = ? WHERE order_n = 1", kept)
        town.clock.true += LONGEST_REST
        assert await town.process.steps["watch"]() == 1

    assert [(one["event"], one["order_id"]) for one in told if one["event"][:5] == "timer"] == [
        ("timer.failed", broken),
        ("timer.works_again", broken),
    ]
    assert town.see(broken).risk is Risk.LATE


async def test_all_of_a_batch_have_ended_before_the_step_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plain gather left the others running with nobody waiting for them."""
    town = Town()
    first, second = await two_orders(town)
    town.clock.true += MONTH
    ordinary = town.process.master.handle

    async def busy_at_first(no: OrderNo, *rest: Any) -> Any:
        if no == first:
            raise StoreBusy("full")
        await asyncio.sleep(0.01)  # Still at work when the other has failed.
        return await ordinary(no, *rest)

    monkeypatch.setattr(town.process.master, "handle", busy_at_first)
    with pytest.raises(StoreBusy):
        await town.process.steps["watch"]()

    assert town.see(second).risk is Risk.LATE
    assert town.see(first).risk is not Risk.LATE


def test_a_rest_grows_up_to_a_bound_and_begins_anew_for_another_reason() -> None:
    resting, now = Resting(), NOON
    lengths = []
    for _ in range(9):
        resting.failed(ONE, "broken", now)
        lengths.append(next(n for n in range(4000) if ONE not in resting.at(now + n * SECOND)))
        now += LONGEST_REST

    assert lengths == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert resting.failed(ONE, "broken otherwise", now)
    assert ONE not in resting.at(now + FIRST_REST)


def test_a_clock_that_was_set_back_ends_every_rest() -> None:
    resting = Resting()
    resting.failed(ONE, "broken", NOON)

    assert ONE not in resting.at(NOON - SECOND)


def test_who_is_not_due_any_more_is_forgotten() -> None:
    resting = Resting()
    resting.failed(ONE, "broken", NOON)
    resting.failed(TWO, "broken", NOON + LONGEST_REST)
    resting.at(NOON + FIRST_REST + LONGEST_REST)

    assert len(resting) == 1
    assert resting.succeeded(TWO)
    assert not resting.succeeded(ONE)
