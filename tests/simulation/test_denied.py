"""A MES that forgets, or shows one work order as several: a person hears of it."""

from datetime import timedelta

from orderkeep.orders.order import Delivered
from orderkeep.testing.town import Town

SECOND = timedelta(seconds=1)


async def wait(town: Town, looks: int) -> None:
    """The bridge looks so often, some seconds apart."""
    for _ in range(looks):
        await town.later(3 * SECOND)


async def test_a_work_order_that_the_mes_does_not_show_any_more_is_seen_by_a_person() -> None:
    """It was looked for every few seconds for ever, and nobody was told."""
    town = Town()
    no = await town.order()
    await wait(town, 10)
    assert town.delivered(no) is Delivered.APPLIED
    del town.mes.jobs[no]

    await wait(town, 60)

    assert town.see(no).diverged == f"{no}: not shown any more"
    assert town.mes.effects == {no: 1}


async def test_one_denial_is_not_believed() -> None:
    town = Town()
    no = await town.order()
    await wait(town, 10)
    shown = town.mes.jobs.pop(no)
    await wait(town, 15)
    town.mes.jobs[no] = shown

    await wait(town, 60)

    assert town.see(no).diverged is None
