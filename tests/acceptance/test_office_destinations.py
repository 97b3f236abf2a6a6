"""A person at the office pauses the MES: nothing leaves, everybody sees why, nothing is lost."""

from pathlib import Path

import pytest

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.office import TestOffice, running_office

PAUSE, RESUME = "/destinations/mes/pause", "/destinations/mes/resume"


@pytest.mark.parametrize("role", Role)
async def test_everybody_sees_the_state_and_only_some_may_change_it(
    role: Role, tmp_path: Path
) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(role)

        for path in (PAUSE, RESUME):
            answer = await desk.send("POST", path, {"reason": "stocktaking"})
            allowed = "destination.pause" in RIGHTS[role]
            assert answer.status_code == (200 if allowed else 403), answer.text

        seen = await desk.get("/destinations")
        assert seen["may_pause"] == ("destination.pause" in RIGHTS[role])
        assert [one["name"] for one in seen["items"]] == ["mes"]


async def test_a_paused_mes_gets_nothing_until_it_is_let_in_again(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        head = await office.desk(Role.HEAD)
        await head.send("POST", PAUSE, {"reason": "stocktaking"})

        no = await office.order("A-1", Stage.MANUFACTURING_APPROVED)

        assert await delivered(office, no) is Delivered.PENDING
        seller = await office.desk(Role.SELLER)
        [mes] = (await seller.get("/destinations"))["items"]
        assert (mes["condition"], mes["by"], mes["why"]) == ("paused", "head", "stocktaking")
        assert mes["waiting"] == 1
        await head.send("POST", RESUME, {"reason": "done"})
        await office.settle()
        assert await delivered(office, no) is Delivered.APPLIED


async def test_a_reason_is_asked_for_and_a_name_nobody_knows_is_not_found(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        head = await office.desk(Role.HEAD)

        bare = await head.send("POST", PAUSE, {"reason": ""})
        unknown = await head.send("POST", "/destinations/erp/pause", {"reason": "why not"})

        assert (bare.status_code, unknown.status_code) == (422, 404)


async def delivered(office: TestOffice, no: str) -> Delivered:
    work_order = (await office.load(no)).work_order  # type: ignore[arg-type]  # As it was told.
    assert work_order is not None
    return work_order.delivered
