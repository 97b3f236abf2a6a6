"""What many boards share may save work, but never show what is no longer so."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orderkeep.access.ports import PersonChange
from orderkeep.access.registry import Registry
from orderkeep.access.rights import Role
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.adapters.sql.store import open_store
from orderkeep.board.actions import Viewer
from orderkeep.http.office import stream as module
from orderkeep.http.office.shared import FRESH_S, KEPT_S
from orderkeep.http.office.static import SECURITY_HEADERS
from orderkeep.http.office.stream import MAX_NEW, MAX_ROWS, SLICE, Client, Stream
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import order_no
from orderkeep.orders import commands as c
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Stage
from orderkeep.testing.office import ENGINE, Desk, TestOffice, running_office

WAIT_S = 120


async def test_no_page_is_older_than_what_browsers_were_told(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("live", Stage.MANUFACTURING_APPROVED)
        desk = await office.desk(Role.OPERATOR, "olga")
        async with desk.http.stream("GET", "/office/v1/board/stream") as answer:
            lines = answer.aiter_lines()
            await _event(lines, "counts")
            before = await _version(desk, no)
            await office.do(no, c.ClaimOrder("oleg"), ENGINE)  # Nobody's click empties the cache.
            await _event(lines, "row")
            after = await _version(desk, no)

    assert after == before + 1


async def test_a_change_that_nobody_tells_is_seen_after_a_moment(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("quiet", Stage.MANUFACTURING_APPROVED)
        desk = await office.desk(Role.OPERATOR, "olga")
        before = await _version(desk, no)
        await asyncio.sleep(FRESH_S + 0.05)
        unchanged = await _version(desk, no)
        # Another process says nothing to this one.
        async with open_store(_url(tmp_path), Bells()) as other:
            master = OrderMaster(other, office.clock, office.ids, office.policy)
            await master.handle(no, c.ClaimOrder("oleg"), ENGINE)
        await asyncio.sleep(KEPT_S + 0.05)
        after = await _version(desk, no)

    assert (unchanged, after) == (before, before + 1)


async def test_a_list_read_before_an_action_is_not_kept_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("slow", Stage.MANUFACTURING_APPROVED)
        olga = await office.desk(Role.OPERATOR, "olga")
        read, go_on = _held_back(office, monkeypatch)

        reading = asyncio.create_task(olga.get("/board", q="slow"))
        await read.wait()
        await olga.act(no, "claim")
        go_on.set()
        await reading
        seen = await olga.get("/board", q="slow")

    assert seen["items"][0]["claim"]["operator"] == "olga"


async def test_a_session_ended_elsewhere_opens_no_list(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.OPERATOR, "olga")
        first = [await desk.send("GET", path) for path in ("/board", "/board/counts", "/board")]
        async with open_store(_url(tmp_path), Bells()) as other:
            registry = Registry(other, Argon2Passwords(), office.clock, office.ids)
            olga = next(one for one in await registry.people() if one.login == "olga")
            await registry.change_person("test", olga.id, PersonChange(disabled=True))
        then = [await desk.send("GET", path) for path in ("/board", "/board/counts")]

    assert {answer.status_code for answer in first} == {200}
    assert {answer.status_code for answer in then} == {401}


async def test_quick_answers_are_guarded_and_counted_like_all_others(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.OPERATOR, "olga")
        before = await _answered(desk)
        page = await desk.send("GET", "/board")
        counted = await _answered(desk) - before

    assert SECURITY_HEADERS.items() <= dict(page.headers).items()
    assert page.headers["cache-control"] == "no-store"
    assert counted == 2  # The page, and the numbers asked for before it.


async def test_browsers_are_fed_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeding 256 boards in one go held up every order that came in meanwhile."""
    for name in ("GATHER_S", "COUNTS_S", "COUNTS_AT_LEAST_S"):
        monkeypatch.setattr(module, name, 0.01)
    stream, source = Stream(SystemClock(), _never), Quiet()
    clients = [Client(Viewer(f"op{n}", Role.OPERATOR, read_only=False), "t") for n in range(64)]
    stream._clients.update(clients)  # browsers without sockets
    stream._any.set()
    running = asyncio.create_task(stream.run(source))

    fed = {0}
    async with asyncio.timeout(WAIT_S):
        while max(fed) < len(clients):
            await asyncio.sleep(0)
            fed.add(sum(not client.frames.empty() for client in clients))
    stream.close()
    await running

    assert {n * SLICE for n in range(len(clients) // SLICE + 1)} <= fed


async def test_a_flood_of_new_orders_hides_no_order_in_work(tmp_path: Path) -> None:
    """Orders being priced took every place of a batch: claims then showed ten seconds later."""
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("flood", Stage.PRICE_CALCULATED)
        priced = await office.store.read(lambda work: work.board.row(no))
    assert priced is not None
    stream = Stream(SystemClock(), _never)
    stream._clients.add(Client(Viewer("op", Role.OPERATOR, read_only=False), "t"))

    new = [replace(priced, order_no=order_no(n)) for n in range(1, 1000)]
    in_work = replace(priced, stage=Stage.MANUFACTURING_STARTED)
    worked = [replace(in_work, order_no=order_no(n)) for n in range(1000, 1000 + MAX_ROWS)]
    stream.changed([*new, *worked])

    assert {row.order_no for row in worked} <= stream._changed.keys()
    assert len(stream._changed) == MAX_NEW + MAX_ROWS
    assert stream._missed


async def test_mine_is_mine_however_it_is_written(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("mine", Stage.MANUFACTURING_APPROVED)
        olga = await office.desk(Role.OPERATOR, "olga")
        oleg = await office.desk(Role.OPERATOR, "oleg")
        await olga.act(no, "claim")
        ways = ("claim=mine", "claim=m%69ne", "claim=%6dine")
        seen = [
            [len((await desk.send("GET", f"/board?{way}")).json()["items"]) for way in ways]
            for desk in (olga, oleg)
        ]

    assert seen == [[1, 1, 1], [0, 0, 0]]


class Quiet:
    """A board on which nothing changes."""

    async def names(self) -> Any: ...

    async def version(self) -> int:
        return 1

    async def counts(self, login: str) -> Any:
        return {}

    def forget_pages(self) -> None: ...

    def row(self, *_: object) -> bytes:
        return b"{}"

    async def still_signed_in(self, token: str) -> bool:
        return True


def _never(_: Callable[..., None]) -> None: ...


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/office.db"


def _held_back(
    office: TestOffice, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold back the answer of the next long read; the events say that it was read, and go on."""
    read, go_on, ordinary = asyncio.Event(), asyncio.Event(), office.store.read_long

    async def slow(query: Callable[[Any], Any]) -> Any:
        answer = await ordinary(query)
        read.set()
        await go_on.wait()
        return answer

    # The store's own method with a pause behind it, for this office only.
    monkeypatch.setattr(office.store, "read_long", slow)
    return read, go_on


async def _version(desk: Desk, no: str) -> int:
    rows = (await desk.get("/board"))["items"]
    return next(int(row["version"]) for row in rows if row["order_no"] == no)


async def _answered(desk: Desk) -> int:
    text = (await desk.http.get("/metrics")).text
    wanted = 'orderkeep_http_requests_total{port="office",status="2xx"} '
    found = next(line for line in text.splitlines() if line.startswith(wanted))
    return int(float(found.removeprefix(wanted)))


async def _event(lines: Any, wanted: str) -> None:
    async with asyncio.timeout(WAIT_S):
        async for line in lines:
            if line == f"event: {wanted}":
                return
    raise AssertionError("the stream has ended")
