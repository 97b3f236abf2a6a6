"""The promises to a MES in their plainest stories, each against the mistake that is made most."""

from orderkeep.bridge.destinations import Condition
from orderkeep.bridge.hearing import LOST_AFTER
from orderkeep.orders import commands as c
from orderkeep.orders.events import Cause
from orderkeep.orders.order import ARRIVED, Delivered, Stage
from orderkeep.testing.people import HEAD
from orderkeep.testing.town import Town

CANCEL, CAUSE = c.CancelOrder("changed my mind"), Cause(HEAD, "CancelOrder", "office", "")


async def test_an_order_whose_answer_was_lost_is_made_once() -> None:
    town = Town()
    no = await town.order()
    town.faults.mes = ["done_then_lost"]

    await town.process.steps["send"]()
    assert town.delivered(no) is Delivered.UNCERTAIN
    for _ in range(4):
        await town.later()

    assert town.mes.effects == {no: 1}
    assert town.delivered(no) in ARRIVED


async def test_an_order_cancelled_before_it_was_sent_is_not_made() -> None:
    town = Town()
    no = await town.order()
    await town.process.master.handle(no, CANCEL, CAUSE)

    for _ in range(4):
        await town.later()

    assert town.mes.effects == {}
    assert town.see(no).stage is Stage.CANCELLED


async def test_an_order_that_may_be_at_the_mes_is_not_called_cancelled_before_it_is_gone() -> None:
    town = Town()
    no = await town.order()
    town.faults.mes = ["done_then_lost"]
    await town.process.steps["send"]()

    await town.process.master.handle(no, CANCEL, CAUSE)
    assert town.see(no).stage is not Stage.CANCELLED
    for name in ("relay", "inbox bridge"):
        await town.process.steps[name]()
    for _ in range(4):
        await town.later()

    assert town.mes.jobs[no].status == "recalled"
    assert town.see(no).stage is Stage.CANCELLED


async def test_an_order_wanted_back_that_the_mes_does_not_show_any_more_comes_to_a_person() -> None:
    """Nobody can tell whether it was made, and asking for ever would call the MES away."""
    town = Town()
    no = await town.order()
    await town.process.steps["send"]()
    assert town.delivered(no) in ARRIVED
    del town.mes.jobs[no]
    await town.process.master.handle(no, CANCEL, CAUSE)
    for name in ("relay", "inbox bridge"):
        await town.process.steps[name]()

    for _ in range(2 * LOST_AFTER):
        await town.later()

    assert "not shown any more" in (town.see(no).diverged or "")
    assert town.see(no).stage is not Stage.CANCELLED
    assert town.process.bridge.gate.state.condition is Condition.OPEN
