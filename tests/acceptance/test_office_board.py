"""The board over a real server: lists, counts, search, views, approvals and live changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from orderkeep.access.rights import Role
from orderkeep.intake.drafts import LISTED
from orderkeep.orders import commands as c
from orderkeep.orders.order import ManualReason, Stage
from orderkeep.testing.office import ENGINE, Desk, TestOffice, running_office

WAIT_S = 120


class Listener:
    """Reads a stream's events one by one."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, wanted: str) -> Any:
        """The data of the next event of this name."""
        async with asyncio.timeout(WAIT_S):
            name = ""
            async for line in self._lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: ") and name == wanted:
                    return msgspec.json.decode(line.removeprefix("data: "))
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def listening(desk: Desk, **headers: str) -> AsyncIterator[Listener]:
    """An open stream."""
    async with desk.http.stream("GET", "/office/v1/board/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer.aiter_lines())


async def test_a_page_is_shared_by_a_role_but_what_i_hold_is_mine(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        held = await office.order("held", Stage.MANUFACTURING_APPROVED)
        free = await office.order("free", Stage.MANUFACTURING_APPROVED)
        olga = await office.desk(Role.OPERATOR, "olga")
        oleg = await office.desk(Role.OPERATOR, "oleg")
        await olga.act(held, "claim")

        seen = {
            desk.me["login"]: {row["order_no"]: row for row in (await desk.get("/board"))["items"]}
            for desk in (oleg, olga)
        }
        mine = await olga.get("/board", claim="mine")
        counts = await olga.get("/board/counts")
        operators = (await olga.get("/operators"))["items"]

    assert "start" in seen["olga"][held]["can"]
    assert "start" not in seen["oleg"][held]["can"]
    assert "claim" in seen["oleg"][free]["can"]
    assert seen["oleg"][held]["claim"]["operator_name"] == "Olga"
    assert [row["order_no"] for row in mine["items"]] == [held]
    assert counts["claimable"] == counts["mine"] == {"n": 1, "more": False}
    assert counts["stages"]["MANUFACTURING_APPROVED"] == {"n": 2, "more": False}
    assert {one["login"]: one["in_work"]["n"] for one in operators} == {"olga": 1, "oleg": 0}


async def test_the_pages_of_a_list_follow_each_other(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        made = [await office.order(f"page-{n}") for n in range(5)]
        desk = await office.desk(Role.SELLER)
        first = await desk.get("/board", limit=3, stage="SUBMITTED")
        second = await desk.get("/board", limit=3, stage="SUBMITTED", after=first["next"])

    numbers = [row["order_no"] for page in (first, second) for row in page["items"]]
    assert numbers == made
    assert second["next"] is None


async def test_browsers_see_each_change_with_what_they_may_do(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("live", Stage.MANUFACTURING_APPROVED)
        olga = await office.desk(Role.OPERATOR, "olga")
        seller = await office.desk(Role.SELLER)
        async with listening(olga) as hers, listening(seller) as theirs:
            hello = await hers.next("hello")
            await theirs.next("counts")
            await olga.act(no, "claim")
            seen = [await listener.next("row") for listener in (hers, theirs)]
        async with listening(olga, **{"Last-Event-ID": "7"}) as again:
            refetch = await again.next("refetch")

    assert hello["version"] > 0
    assert [row["order_no"] for row in seen] == [no, no]
    assert seen[0]["claim"]["operator"] == "olga"
    assert "start" in seen[0]["can"]
    assert "start" not in seen[1]["can"]
    assert refetch == {"why": "back"}


async def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.OPERATOR)
        async with listening(desk) as listener:
            await listener.next("hello")
            office.app.drain()
            async with asyncio.timeout(WAIT_S):
                async for _ in listener._lines:
                    continue


async def test_the_search_finds_by_number_reference_file_and_client(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        file = await _uploaded(office, "Кольцо-Анны.stl")
        customer = {"name": "Мария Ким", "email": "mk@example.com", "phone": "+7 911 765-43-21"}
        item = {"file_id": file, "material": "ag925", "quantity": 1}
        no = await office.order("SHOP-77", customer=customer, items=[item])
        await office.order("OTHER-1")
        support = await office.desk(Role.SUPPORT)
        operator = await office.desk(Role.OPERATOR)
        asked = {
            "order_no": no.lower(),
            "client_ref": "SHOP-7",
            "file": "кольцо",
            "email": "MK@example",
            "name": "мария",
            "phone": "43-21",
        }

        found = {why: await support.get("/search", q=text) for why, text in asked.items()}
        denied = await operator.get("/search", q="мария")
        misread = await support.get("/search", q=f"{no[:-1]}{(int(no[-1]) + 1) % 10}")

    for why, answer in found.items():
        assert [(one["order_no"], one["why"]) for one in answer["items"]] == [(no, why)]
    assert denied["items"] == []
    assert misread["items"] == []
    assert misread["misread"] is True


async def _uploaded(office: TestOffice, name: str) -> str:
    seller = await office.desk(Role.SELLER, "maker")
    answer = await seller.http.post("/office/v1/files", params={"name": name}, content=b"solid x")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["file_id"])


async def test_views_are_a_persons_own(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller, head = await office.desk(Role.SELLER), await office.desk(Role.HEAD)
        kept = (await seller.send("PUT", "/views", {"name": "Мои", "query": "claim=mine"})).json()
        await seller.send("PUT", "/views", {"name": "Мои", "query": "claim=free"})
        foreign = await head.send("DELETE", f"/views/{kept['id']}")
        seen = [(await desk.get("/views"))["items"] for desk in (seller, head)]
        await seller.send("DELETE", f"/views/{kept['id']}")
        left = (await seller.get("/views"))["items"]

    assert seen == [[{"id": kept["id"], "name": "Мои", "query": "claim=free"}], []]
    assert foreign.status_code == 204
    assert left == []


async def test_a_seller_finds_what_waits_for_a_decision(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        priced = await office.order("priced", Stage.PRICE_CALCULATED)
        manual = await office.order("manual")
        await office.order("approved", Stage.MANUFACTURING_APPROVED)
        reason = ManualReason(1, "open_mesh", "The model is open.")
        await office.do(manual, c.RecordManual(1, [reason]), ENGINE)
        seller = await office.desk(Role.SELLER)
        head = await office.desk(Role.HEAD)

        inbox = await seller.get("/approvals")
        masked = await head.get("/approvals")
        entered = await seller.act(manual, "enter-price", total="99.90", reason="by hand")

    items = {item["order_no"]: item for item in inbox["items"]}
    assert items.keys() == {priced, manual}
    assert items[priced]["price_detail"]["total"] == {"amount": "129.50", "currency": "RUB"}
    assert "approve" in items[priced]["can"]
    assert items[manual]["reasons"][0]["code"] == "open_mesh"
    assert items[priced]["customer"]["name"] == "Анна Петрова"
    assert masked["items"][0]["customer"]["name"] == "А••• П•••"
    assert entered.json()["stage"] == "PRICE_CALCULATED"


async def test_a_draft_becomes_an_order(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller = await office.desk(Role.SELLER)
        half = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1"}]}
        opened = (await seller.send("POST", "/drafts", half)).json()
        no = opened["order_no"]
        saved = await seller.send("PUT", f"/drafts/{no}", {**half, "note": "blue box"})
        refused = await seller.send("POST", f"/drafts/{no}/submit", {"note": "nothing else"})
        whole = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1", "quantity": 1}]}
        submitted = await seller.send("POST", f"/drafts/{no}/submit", whole)
        page = await seller.get(f"/orders/{no}")

    assert opened["stage"] in {"INITIATED", "FILE_UPLOADED"}
    assert saved.status_code == 200
    assert refused.status_code == 422
    assert submitted.json()["order_no"] == no
    assert page["order"]["stage"] == "SUBMITTED"
    assert page["journey"][0]["state"] == "done"


async def test_every_draft_is_found_by_its_number_and_page_by_page(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller = await office.desk(Role.SELLER)
        opened = [
            (await seller.send("POST", "/drafts", {"note": f"draft {n}"})).json()["order_no"]
            for n in range(LISTED + 2)
        ]
        first = await seller.get("/drafts")
        rest = await seller.get("/drafts", after=first["next"])
        oldest = await seller.get(f"/drafts/{opened[0]}")
        whole = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1", "quantity": 1}]}
        await seller.send("POST", f"/drafts/{opened[0]}/submit", whole)
        sent = await seller.send("GET", f"/drafts/{opened[0]}")

    shown = [one["order_no"] for one in first["items"] + rest["items"]]
    assert shown == list(reversed(opened))
    assert (len(first["items"]), first["total"], rest["next"]) == (LISTED, LISTED + 2, None)
    assert oldest == rest["items"][-1]
    assert oldest["body"] == {"note": "draft 0"}
    assert datetime.fromisoformat(oldest["at"]).tzinfo
    assert sent.status_code == 404


async def test_a_person_finds_their_own_drafts_until_they_are_sent_or_thrown_away(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller, head = await office.desk(Role.SELLER), await office.desk(Role.ADMIN)
        first, second = [
            (await seller.send("POST", "/drafts", {"note": note})).json() for note in ("one", "two")
        ]
        both = await seller.get("/drafts")
        others = await head.get("/drafts")
        gone = {"version": second["version"], "reason": "a mistake"}
        thrown = await seller.send("POST", f"/orders/{second['order_no']}/cancel", gone)
        left = await seller.get("/drafts")
        whole = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1", "quantity": 1}]}
        await seller.send("POST", f"/drafts/{first['order_no']}/submit", whole)
        none = await seller.get("/drafts")

    assert [item["body"] for item in both["items"]] == [{"note": "two"}, {"note": "one"}]
    assert others["items"] == []
    assert thrown.status_code == 200
    assert [item["order_no"] for item in left["items"]] == [first["order_no"]]
    assert none["items"] == []


async def test_an_order_by_hand_is_kept_once_per_key(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller = await office.desk(Role.SELLER)
        body = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1", "quantity": 1}]}
        key = {"Idempotency-Key": "click-1"}
        first, again = [await seller.send("POST", "/orders", body, **key) for _ in range(2)]
        other = await seller.send("POST", "/orders", {**body, "note": "changed"}, **key)
        without = await seller.send("POST", "/orders", body)

    assert first.status_code == again.status_code == 201
    assert first.json()["order_no"] == again.json()["order_no"]
    assert (other.status_code, without.status_code) == (422, 400)
