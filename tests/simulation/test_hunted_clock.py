"""Found by attack: a clock that is set back must not make what waits stand still meanwhile."""

from datetime import timedelta

from orderkeep.orders import commands as c
from orderkeep.orders.events import Cause
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.people import HEAD
from orderkeep.testing.town import Town

HOUR = timedelta(hours=1)


async def test_what_has_just_come_is_handled_though_the_clock_was_set_back() -> None:
    """An envelope was due at the instant it came: an hour later, after the clock was put right."""
    town = Town()
    no = await town.submit()
    await town.process.steps["relay"]()

    town.clock.off = -HOUR
    await town.process.steps["inbox quoting"]()
    await town.process.steps["price"]()

    assert town.see(no).stage is Stage.MANUFACTURING_APPROVED


async def test_a_lease_of_the_time_before_is_over() -> None:
    town = Town()
    no = await town.submit()
    now = town.clock.now()
    town.store.write_now(lambda work: work.outbox.lease(now, now + timedelta(seconds=30), 10))

    town.clock.off = -HOUR
    for name in ("relay", "inbox quoting", "price"):
        await town.process.steps[name]()

    assert town.see(no).stage is Stage.MANUFACTURING_APPROVED


async def test_a_question_of_the_time_before_is_asked_again() -> None:
    town = Town()
    no = await town.submit()
    for name in ("relay", "inbox quoting"):
        await town.process.steps[name]()
    now = town.clock.now()
    town.store.write_now(lambda work: work.price_jobs.take(now, now + timedelta(minutes=5), 4))

    town.clock.off = -HOUR
    await town.process.steps["price"]()

    assert town.see(no).stage is Stage.MANUFACTURING_APPROVED


async def test_a_work_order_is_sent_though_the_clock_was_set_back() -> None:
    town = Town()
    no = await town.order()
    town.faults.mes = ["away"]
    await town.process.steps["send"]()
    assert town.delivered(no) is Delivered.PENDING  # and due a little later

    town.clock.off = -HOUR
    await town.process.steps["send"]()

    assert town.mes.effects == {no: 1}


async def test_a_cancellation_does_not_count_one_moment_of_silence_twice() -> None:
    """Our clock was set forward, and asking for it back brought the second look to the first."""
    town = Town()
    no = await town.order()
    town.faults.mes = ["done_then_lost"]
    await town.process.steps["send"]()
    town.clock.off = HOUR
    await town.process.steps["send"]()  # Denied once: the MES has it, and does not show it yet.
    cause = Cause(HEAD, "CancelOrder", "office", "")
    await town.process.master.handle(no, c.CancelOrder("changed my mind"), cause)

    for name in ("relay", "inbox bridge", "send"):
        await town.process.steps[name]()
    assert town.delivered(no) is Delivered.UNCERTAIN
    for _ in range(4):
        await town.later()

    assert town.mes.jobs[no].status == "recalled"
    assert town.see(no).stage is Stage.CANCELLED
