"""Whatever is stuck on its way to the MES: one click of a person moves it on."""

from pathlib import Path

import pytest

from orderkeep.access.rights import Role
from orderkeep.bridge.telling import DESTINATION
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.commands import RecordDelivery
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.office import TestOffice, running_office

STUCK = (Delivered.UNCERTAIN, Delivered.REJECTED, Delivered.DIVERGED, Delivered.DEAD)
LEADS_TO = {
    "there": Delivered.APPLIED,
    "send_again": Delivered.APPLIED,
    "give_up": Delivered.DEAD,
}


async def stick(office: TestOffice, no: OrderNo, state: Delivered) -> None:
    """As the bridge leaves what it cannot settle: the order and the row say the same."""
    order = await office.load(no)
    assert order.work_order is not None
    reference = order.work_order.reference
    await office.do(no, RecordDelivery(DESTINATION, reference, state, "no answer"))

    def leave(work: object) -> None:
        deliveries = work.deliveries  # type: ignore[attr-defined]  # The store's own unit of work.
        row = deliveries.get(DESTINATION, reference)
        deliveries.change(row, state=state, next_at=None)

    await office.store.write(leave)


@pytest.mark.parametrize("stuck", STUCK)
@pytest.mark.parametrize("decision", LEADS_TO)
async def test_one_click_settles_it(stuck: Delivered, decision: str, tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        head = await office.desk(Role.HEAD)
        await head.send("POST", "/destinations/mes/pause", {"reason": "so that it waits"})
        no = await office.order("A-1", Stage.MANUFACTURING_APPROVED)
        await stick(office, no, stuck)
        support = await office.desk(Role.SUPPORT)
        [listed] = (await support.get("/board", needs=str(stuck)))["items"]
        assert "delivery-decide" in listed["can"]

        answer = await support.act(no, "delivery-decide", decision=decision)
        await head.send("POST", "/destinations/mes/resume", {"reason": "go on"})
        await office.settle()

        assert answer.status_code == 200, answer.text
        work_order = (await office.load(no)).work_order
        assert work_order is not None
        if decision == "there":
            assert work_order.delivered in {Delivered.CONFIRMED, Delivered.APPLIED}
        else:
            assert work_order.delivered is LEADS_TO[decision]


async def test_all_that_stands_still_is_on_one_list_until_it_is_decided(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        head, support = await office.desk(Role.HEAD), await office.desk(Role.SUPPORT)
        await head.send("POST", "/destinations/mes/pause", {"reason": "so that it waits"})
        numbers = {}
        for state in STUCK:
            no = numbers[state] = await office.order(f"A-{state}", Stage.MANUFACTURING_APPROVED)
            await stick(office, no, state)

        listed = (await support.get("/dead-letters"))["work_orders"]
        assert {one["state"]: one["work_orders"][0]["order_no"] for one in listed} == numbers
        decided = numbers[Delivered.UNCERTAIN]
        await support.act(decided, "delivery-decide", decision="there")

        left = (await support.get("/dead-letters"))["work_orders"]
        assert {one["work_orders"][0]["order_no"] for one in left} == {*numbers.values()} - {
            decided
        }
