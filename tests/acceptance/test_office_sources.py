"""A person at the office takes a present system over: step by step, with a reason, and back."""

from pathlib import Path

import pytest

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.testing.office import running_office

STEP, HOME = "/sources/shop/step", "/sources/shop/home"


@pytest.mark.parametrize("role", Role)
async def test_some_see_the_sources_and_fewer_move_them(role: Role, tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(role)

        seen = await desk.send("GET", "/sources")
        orders = await desk.send("GET", "/sources/shop/orders")
        moved = await desk.send("POST", STEP, {"to": "tap", "reason": "first step"})
        home = await desk.send("POST", HOME, {"home": "mirrored", "reason": "first step"})

        rights = RIGHTS[role]
        shown, may_move = ("sources.view" in rights, "sources.move" in rights)
        assert (seen.status_code, orders.status_code) == (200 if shown else 403,) * 2
        assert (moved.status_code, home.status_code) == (200 if may_move else 403,) * 2
        if shown:
            assert "secret" not in seen.text
            assert seen.json()["may_move"] == may_move


async def test_each_step_is_offered_with_its_way_back_and_is_in_the_audit(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        admin = await office.desk(Role.ADMIN)
        [shop] = (await admin.get("/sources"))["items"]
        assert (shop["mode"], shop["next"], shop["back"]) == ("off", "tap", [])

        for to in ("tap", "shadow", "live"):
            answer = await admin.send("POST", STEP, {"to": to, "reason": "as agreed"})
            [shop] = answer.json()["items"]
            assert shop["mode"] == to

        assert (shop["takes"], shop["next"], shop["back"]) == ("original", None, ["back"])
        assert (shop["by"], shop["because"]) == ("admin", "as agreed")
        told = "SELECT detail FROM audit WHERE action = 'source.moved' ORDER BY row"
        found = await office.store.read(lambda work: work.raw.execute(told).fetchall())
        assert [row[0] for row in found] == [
            f"{before} to {after}: as agreed"
            for before, after in (("off", "tap"), ("tap", "shadow"), ("shadow", "live"))
        ]


async def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        admin = await office.desk(Role.ADMIN)

        early = await admin.send("POST", STEP, {"to": "live", "reason": "at once"})
        bare = await admin.send("POST", STEP, {"to": "tap", "reason": ""})
        strange = await admin.send("POST", STEP, {"to": "moon", "reason": "why not"})
        nobody = await admin.send("POST", "/sources/crm/step", {"to": "tap", "reason": "x"})
        wrong = await admin.send("GET", "/sources/shop/orders?show=moon")

        assert early.status_code == 409
        assert early.json()["type"].endswith("/step-refused")
        assert [one.status_code for one in (bare, strange, nobody, wrong)] == [422, 422, 404, 400]
