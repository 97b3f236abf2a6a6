"""Who may look at dead letters and send them again, asked of a real office."""

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.adapters.sql.instants import to_micros
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.ledger.balance import Difference
from orderkeep.testing.office import NOON, TestOffice, running_office

UNOWNED = "orderkeep_dead_letters_unowned_oldest_seconds"
GROUP = "0" * 16
MAY = frozenset({Role.SUPPORT, Role.ADMIN})


@pytest.mark.parametrize("right", ["dead_letters.view", "dead_letters.replay"])
def test_support_and_admin_alone_have_to_do_with_dead_letters(right: str) -> None:
    assert {role for role in Role if right in RIGHTS[role]} == MAY


async def test_others_are_refused_at_every_address(tmp_path: Path) -> None:
    reason = {"fingerprint": GROUP, "cutoff": 1, "reason": "mended"}
    async with running_office(tmp_path) as office:
        for role in Role:
            desk = await office.desk(role)
            answers = [
                await desk.send("GET", "/dead-letters"),
                await desk.send("GET", f"/dead-letters/groups/{GROUP}"),
                await desk.send("POST", "/dead-letters/dry-run", {"fingerprint": GROUP}),
                await desk.send("POST", "/dead-letters/check", {"row": 1, "body": "{}"}),
                await desk.send("POST", "/dead-letters/replays", reason),
                await desk.send("GET", "/dead-letters/replays/none"),
                await desk.send("POST", "/dead-letters/replays/none/approve", {}),
                await desk.send("POST", "/dead-letters/park", reason),
                await desk.send(
                    "POST", f"/dead-letters/groups/{GROUP}/note", {"owner": "", "note": ""}
                ),
                await desk.send("GET", "/dead-letters/export"),
            ]
            statuses = [one.status_code for one in answers]
            assert statuses == ([200, *[404] * 8, 200] if role in MAY else [403] * 10), role


HOSTILE = '=HYPERLINK("http://evil")'


async def put_aside(office: TestOffice, *whys: str) -> None:
    """Messages that could not be read, each for its own reason."""

    def put(work: Any) -> None:
        for n, why in enumerate(whys):
            work.inbox.set_aside("bridge", f"m-{n}", b"no envelope", why, NOON)

    await office.store.write(put)


async def test_all_letters_can_be_taken_away_and_none_becomes_a_formula(tmp_path: Path) -> None:
    whys = (HOSTILE, "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "a header is missing")
    async with running_office(tmp_path) as office:
        await put_aside(office, *whys)
        desk = await office.desk(Role.SUPPORT)
        told = await desk.send("GET", "/dead-letters/export")
        plain = await desk.get("/dead-letters/export", form="json")
        wrong = await desk.send("GET", "/dead-letters/export?form=xls")

    assert told.headers["content-disposition"].startswith('attachment; filename="dead-letters-')
    rows = list(csv.DictReader(io.StringIO(told.content.decode("utf-8-sig"))))
    assert {row["why"] for row in rows} == {*(f"'{why}" for why in whys[:-1]), whys[-1]}
    assert {row["why"] for row in plain} == set(whys)
    assert wrong.status_code == 400


MANY = 100_001
"""More than was ever taken away at once."""
_ASIDE = (
    "INSERT INTO quarantine (consumer, message_id, at, why, body, fingerprint)"
    " VALUES ('bridge', ?, ?, 'a header is missing', x'', ?)"
)


async def put_many_aside(office: TestOffice, count: int = MANY) -> None:
    """Messages of one cause that could not be read, each a millisecond after the one before."""
    began = NOON.replace(year=NOON.year - 1)
    rows = [(f"m-{n}", to_micros(began + timedelta(milliseconds=n)), GROUP) for n in range(count)]
    await office.store.write(lambda work: work.raw.executemany(_ASIDE, rows) and None)


async def test_more_letters_than_one_page_holds_are_taken_away_whole(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        await put_many_aside(office)
        desk = await office.desk(Role.SUPPORT)
        told = await desk.send("GET", "/dead-letters/export")
        plain = await desk.get("/dead-letters/export", form="json")

    newest_first = [f"m-{n}" for n in reversed(range(MANY))]
    rows = csv.DictReader(io.StringIO(told.content.decode("utf-8-sig")))
    assert [row["message_id"] for row in rows] == newest_first
    assert [row["message_id"] for row in plain] == newest_first


async def test_a_table_that_a_fault_cuts_short_does_not_look_whole(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        await put_many_aside(office)
        desk = await office.desk(Role.SUPPORT)

        async with desk.http.stream("GET", "/office/v1/dead-letters/export?form=json") as told:
            parts = told.aiter_raw()
            await anext(parts)
            gone = "ALTER TABLE quarantine RENAME TO gone"
            await office.store.write(lambda work: work.raw.execute(gone) and None)
            with pytest.raises(httpx.RemoteProtocolError):
                [one async for one in parts]


async def test_who_has_waited_longest_is_told_also_behind_many_who_came_later(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path) as office:
        await put_aside(office, "another cause")
        office.clock.advance(timedelta(hours=5))
        [oldest] = await office.store.read(
            lambda work: work.raw.execute("SELECT fingerprint FROM quarantine").fetchone()
        )
        later = [(f"n-{n}", to_micros(office.clock.now()), GROUP) for n in range(10_001)]
        await office.store.write(lambda work: work.raw.executemany(_ASIDE, later) and None)

        told = await metrics(office)

    assert oldest != GROUP
    assert f"{UNOWNED} {age(office)}" in told


async def test_a_note_and_an_owner_stay_with_their_group(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        await put_aside(office, "a header is missing")
        desk = await office.desk(Role.SUPPORT)
        [group] = (await desk.get("/dead-letters"))["groups"]
        path = f"/dead-letters/groups/{group['fingerprint']}/note"

        kept = await desk.send("POST", path, {"owner": " vera ", "note": "asked the shop"})

        [group] = (await desk.get("/dead-letters"))["groups"]
        assert kept.status_code == 200
        assert (group["known"]["owner"], group["known"]["note"]) == ("vera", "asked the shop")
        assert group["trend"][-1] == 1


async def test_a_release_is_kept_with_the_group_and_the_replay_and_in_the_audit(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path) as office:
        envelope = Envelope(
            EnvelopeId("e-1"), "price.wanted", 1, "OK-000001", NOON, "0" * 32, b"{}"
        )

        def die(work: Any) -> None:
            work.inbox.receive("quoting", [envelope], NOON)
            work.inbox.bury("quoting", envelope.id, NOON, "Broken: x")

        await office.store.write(die)
        desk = await office.desk(Role.SUPPORT)
        [group] = (await desk.get("/dead-letters"))["groups"]
        about = {"fingerprint": group["fingerprint"], "cutoff": 99, "reason": "mended"}
        path = f"/dead-letters/groups/{group['fingerprint']}/note"
        known = {"owner": "vera", "note": "", "release": " https://shop.test/releases/7 "}

        await desk.send("POST", path, known)
        [row] = await desk.get("/dead-letters/export", form="json")
        too_long = await desk.send("POST", path, {**known, "release": "x" * 201})
        [owned] = (await desk.get("/dead-letters"))["groups"]
        # From now on the letter may be on its way, and its group with it.
        begun = await desk.send("POST", "/dead-letters/replays", {**about, "release": " 2026.11 "})
        told = await desk.get("/dead-letters")
        audited = await office.store.read(
            lambda work: work.raw.execute("SELECT detail FROM audit ORDER BY row").fetchall()
        )

    assert (begun.status_code, begun.json()["release"]) == (201, "2026.11")
    assert too_long.status_code == 422
    assert owned["known"]["release"] == "https://shop.test/releases/7"
    assert told["replays"][0]["release"] == "2026.11"
    assert row["release"] == "https://shop.test/releases/7"
    details = [detail for (detail,) in audited]
    assert "vera:  (release https://shop.test/releases/7)" in details
    assert "mended (release 2026.11)" in details


async def test_the_metrics_count_by_index_and_leave_out_what_is_parked(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        await put_aside(office, "one", "two")
        desk = await office.desk(Role.SUPPORT)
        assert 'orderkeep_dead_letters{consumer="bridge"} 2.0' in await metrics(office)
        [group, _] = (await desk.get("/dead-letters"))["groups"]
        parked = {"fingerprint": group["fingerprint"], "cutoff": 99, "reason": "old"}
        await desk.send("POST", "/dead-letters/park", parked)

        assert 'orderkeep_dead_letters{consumer="bridge"} 1.0' in await metrics(office)
        dead = "dead_at IS NOT NULL AND handled_at IS NULL"
        asked = f"SELECT consumer, count(*) FROM inbox WHERE {dead} GROUP BY consumer"
        plan = await office.store.read(
            lambda work: work.raw.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall()
        )
        assert "INDEX ix_inbox_dead_consumer" in str(plan)


async def test_who_has_waited_longest_is_told_until_the_group_is_somebodys(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(Role.SUPPORT)
        assert f"{UNOWNED} 0.0" in await metrics(office)
        await put_aside(office, "one", "two")
        office.clock.advance(timedelta(hours=5))
        groups = (await desk.get("/dead-letters"))["groups"]
        one, two = (f"/dead-letters/groups/{group['fingerprint']}/note" for group in groups)

        assert f"{UNOWNED} {age(office)}" in await metrics(office)
        await desk.send("POST", one, {"owner": "vera", "note": ""})
        assert f"{UNOWNED} {age(office)}" in await metrics(office)
        await desk.send("POST", two, {"owner": "vera", "note": ""})
        assert f"{UNOWNED} 0.0" in await metrics(office)
        await desk.send("POST", two, {"owner": "", "note": "she has left"})
        assert f"{UNOWNED} {age(office)}" in await metrics(office)
        parked = {"fingerprint": groups[1]["fingerprint"], "cutoff": 99, "reason": "old"}
        await desk.send("POST", "/dead-letters/park", parked)
        assert f"{UNOWNED} 0.0" in await metrics(office)


def age(office: TestOffice) -> float:
    """Since the letters were put aside."""
    return (office.clock.now() - NOON).total_seconds()


async def metrics(office: TestOffice) -> str:
    """What Prometheus reads."""
    async with office.client() as http:
        return (await http.get("/metrics")).text


def kinds(told: dict[str, Any]) -> dict[str, int]:
    return {one["kind"]: one["count"] for one in told["items"]}


async def test_who_may_mend_it_is_told_at_once_that_something_was_put_aside(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        support, head = await office.desk(Role.SUPPORT), await office.desk(Role.HEAD)
        seller = await office.desk(Role.SELLER)
        assert kinds(await support.get("/alerts")) == {}
        await put_aside(office, "one", "two")

        assert kinds(await support.get("/alerts")) == {"letters": 2}
        assert kinds(await head.get("/alerts")) == {}
        assert kinds(await seller.get("/alerts")) == {}
        assert 'orderkeep_quarantined_recently{what="letters"} 2.0' in await metrics(office)
        [group, _] = (await support.get("/dead-letters"))["groups"]
        parked = {"fingerprint": group["fingerprint"], "cutoff": 99, "reason": "old"}
        await support.send("POST", "/dead-letters/park", parked)
        assert kinds(await support.get("/alerts")) == {"letters": 1}
        office.clock.advance(timedelta(hours=1, seconds=1))
        assert "letters" not in kinds(await support.get("/alerts"))


async def test_what_is_parked_says_by_whom_and_why(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        support = await office.desk(Role.SUPPORT)
        await put_aside(office, "one")
        [group] = (await support.get("/dead-letters"))["groups"]
        wanted = {"fingerprint": group["fingerprint"], "cutoff": 99}
        page = f"/dead-letters/groups/{group['fingerprint']}"

        silent = await support.send("POST", "/dead-letters/park", wanted | {"reason": " "})
        assert (silent.status_code, silent.json()["errors"][0]["pointer"]) == (422, "/reason")
        assert (await support.get(page))["parking"] is None
        await support.send("POST", "/dead-letters/park", wanted | {"reason": "an old shop"})
        parking = (await support.get(page))["parking"]
        assert (parking["by"], parking["why"]) == (str(Role.SUPPORT), "an old shop")
        back = await support.send("POST", "/dead-letters/park", wanted | {"back": True})
        assert back.json() == {"letters": 1}


async def test_a_balance_that_differs_is_told_for_as_long_as_it_does(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        no = await office.order("A-1")
        support, head = await office.desk(Role.SUPPORT), await office.desk(Role.HEAD)
        await support.send("POST", "/balance/count", {})
        assert kinds(await head.get("/alerts")) == {}
        found = Difference(no, "it is nowhere", kind="nowhere")

        def differ(work: Any) -> None:
            work.balances.note([found], office.clock.now())
            work.balances.keep(replace(work.balances.last(), at=office.clock.now(), differences=1))

        office.clock.advance(timedelta(minutes=1))
        await office.store.write(differ)
        assert kinds(await head.get("/alerts")) == {"differences": 1}
        office.clock.advance(timedelta(minutes=4))
        assert kinds(await support.get("/alerts")) == {"differences": 1, "stale": 1}
        await support.send("POST", "/balance/count", {})
        assert kinds(await support.get("/alerts")) == {}
