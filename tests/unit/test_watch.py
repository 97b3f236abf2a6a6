"""The watch among orders that it fails at."""

from datetime import timedelta

from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.order import Risk
from orderkeep.testing.people import SENDER, Client
from orderkeep.testing.town import Town

MONTH = timedelta(days=31)


async def two_orders(town: Town) -> tuple[OrderNo, OrderNo]:
    first, second = Client("ref-1", "key-1"), Client("ref-2", "key-2")
    one = await town.process.intake.accept(SENDER, first.key, first.body())
    two = await town.process.intake.accept(SENDER, second.key, second.body())
    return one.order_no, two.order_no


async def test_an_order_that_cannot_be_evaluated_does_not_stop_the_clock_of_others() -> None:
    """One unreadable event made every round of the watch fail, once a second, for ever."""
    town = Town()
    broken, sound = await two_orders(town)
    town.store.raw.execute("UPDATE events SET data = '{}' WHERE order_n = 1")
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
