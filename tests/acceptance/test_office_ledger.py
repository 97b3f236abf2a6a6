"""The balance, explanations and comparisons as people at the office get them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.ids import order_no
from orderkeep.ledger.balance import Class
from orderkeep.orders.order import Stage
from orderkeep.testing.office import Desk, TestOffice, running_office


async def lose_the_announcement(office: TestOffice, no: str) -> None:
    def unit(work: Any) -> None:
        work.raw.execute("DELETE FROM outbox WHERE order_key = ?", (no,))

    await office.store.write(unit)


@pytest.mark.parametrize("role", Role)
async def test_the_balance_is_for_those_who_answer_for_it(role: Role, tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(role)

        for method, path in (("GET", "/balance"), ("POST", "/balance/count")):
            answer = await desk.send(method, path, {} if method == "POST" else None)

            allowed = "ledger.view" in RIGHTS[role]
            assert answer.status_code == (200 if allowed else 403), answer.text


async def test_the_balance_adds_up_by_class_and_by_partner(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        for place, stage in enumerate([Stage.PRICE_CALCULATED, Stage.SHIPPED, Stage.CLOSED]):
            await office.order(f"A-{place}", stage)
        support = await office.desk(Role.SUPPORT)

        found = await support.get("/balance")

        assert found["accepted"] == sum(found[name] for name in Class) == 3
        assert (found["at_mes"], found["waiting"], found["unaccounted"]) == (2, 1, 0)
        [theirs] = found["partners"]
        assert theirs["accepted"] == 3
        assert found["differences"] == []
        assert len(found["trend"]) == 1


async def test_what_came_and_is_no_order_stands_beside_the_classes(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        await office.order("A-1")
        now = office.clock.now()

        def odd(work: Any) -> None:
            work.tray.keep(Unknown("shop", "not-mapped", b"{}"), now)
            work.inbox.set_aside("bridge", "e-1", b"?", "unreadable", now)

        await office.store.write(odd)
        support = await office.desk(Role.SUPPORT)

        found = await support.get("/balance")

        assert (found["accepted"], found["unaccounted"]) == (1, 0)
        assert (found["received_not_yet"], found["not_understood"]) == (2, 1)
        metrics = await metrics_of(office, support)
        assert metrics["orderkeep_balance_received_not_yet"] == 2
        assert metrics["orderkeep_balance_not_understood"] == 1


async def test_a_difference_is_named_with_its_age_and_its_last_proof(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("A-1")
        await lose_the_announcement(office, no)
        support = await office.desk(Role.SUPPORT)
        await support.send("POST", "/balance/count", {})
        office.clock.advance(timedelta(minutes=7))

        await support.send("POST", "/balance/count", {})
        found = await support.get("/balance")

        [one] = found["differences"]
        assert (one["order_no"], one["system"], one["kind"]) == (no, "own", "stranded")
        assert one["proof"]["hop"] == "accepted"
        assert one["title"]["ru"]
        metrics = await metrics_of(office, support)
        assert metrics['orderkeep_balance_differences{kind="stranded",system="own"}'] == 1
        assert metrics["orderkeep_balance_oldest_difference_seconds"] == 7 * 60


async def test_a_balance_that_is_not_kept_any_more_shows_its_age(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        support = await office.desk(Role.SUPPORT)
        await support.get("/balance")
        office.clock.advance(timedelta(minutes=4))

        found, metrics = await support.get("/balance"), await metrics_of(office, support)

        assert metrics["orderkeep_balance_age_seconds"] == 240 > found["stale_after_s"]


async def metrics_of(office: TestOffice, desk: Desk) -> dict[str, float]:
    text = (await desk.http.get(f"{office.url}/metrics")).text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize("role", Role)
async def test_everybody_may_have_an_order_explained(role: Role, tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("A-1")
        desk = await office.desk(role)

        fresh = await desk.get(f"/orders/{no}/explain")
        await lose_the_announcement(office, no)
        lost = await desk.get(f"/orders/{no}/explain")

        assert (fresh["state"], fresh["last"]["hop"], fresh["next"]["hop"]) == (
            "fine", "kept", "sent",
        )  # fmt: skip
        assert (lost["state"], lost["rule"]) == ("stuck", "S6")
        assert lost["todo"][0]["title"]["en"]


async def test_an_order_that_was_never_given_out_is_explained_too(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(Role.SUPPORT)

        found = await desk.get(f"/orders/{order_no(99_999)}/explain")

        assert (found["state"], found["rule"]) == ("missing", None)
        assert found["todo"][0]["code"] == "check_number"


async def finish(office: TestOffice) -> None:
    """Let the comparison run to its end."""
    ledger = office.app.office.ledger
    assert ledger is not None
    for _ in range(20):
        await ledger.reconciler.step()


async def a_job_that_nobody_asked_for(office: TestOffice, no: str) -> None:
    def copy(work: Any) -> None:
        columns = "order_no, body_sha256, positions, status, status_since, seq, created_at"
        work.raw.execute(
            f"INSERT INTO floor_work_orders (reference, {columns})"
            f" SELECT ? || '/2', {columns} FROM floor_work_orders WHERE reference = ?",
            (no, no),
        )

    await office.store.write(copy)


@pytest.mark.parametrize("role", Role)
async def test_comparing_is_for_support_and_looking_for_the_head_too(
    role: Role, tmp_path: Path
) -> None:
    async with running_office(tmp_path) as office:
        desk = await office.desk(role)

        seen = await desk.send("GET", "/reconciliation")
        begun = await desk.send("POST", "/reconciliation/start", {})
        decided = await desk.send(
            "POST", "/reconciliation/findings/1/decide", {"decision": "dismiss"}
        )

        rights = RIGHTS[role]
        assert seen.status_code == (200 if "ledger.view" in rights else 403)
        assert begun.status_code == (200 if "ledger.settle" in rights else 403)
        assert decided.status_code == (404 if "ledger.settle" in rights else 403)


async def test_a_finding_is_shown_decided_and_kept_with_who_and_why(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        no = await office.order("A-1", Stage.MANUFACTURING_APPROVED)
        await a_job_that_nobody_asked_for(office, no)
        support = await office.desk(Role.SUPPORT)
        office.clock.advance(timedelta(minutes=1))

        begun = (await support.send("POST", "/reconciliation/start", {})).json()
        await finish(office)
        found = await support.get("/reconciliation")

        assert (begun["phase"], found["last"]["compared"], found["running"]) == ("asked", 1, None)
        [one] = found["items"]
        assert (one["kind"], one["reference"], one["can"]) == (
            "missing_here", f"{no}/2", ["dismiss"],
        )  # fmt: skip
        path = f"/reconciliation/findings/{one['row']}/decide"
        refused = await support.send("POST", path, {"decision": "resend"})
        assert refused.json()["type"] == "/problems/decision-refused"
        said = {"decision": "dismiss", "note": "a test of theirs"}
        assert (await support.send("POST", path, said)).status_code == 200
        assert (await support.send("POST", path, said)).status_code == 409

        assert (await support.get("/reconciliation"))["items"] == []
        [kept] = (await support.get("/reconciliation", show="settled"))["items"]
        assert (kept["state"], kept["note"], kept["decided_by"]) == (
            "dismissed", "a test of theirs", "person:support",
        )  # fmt: skip


async def test_an_order_that_the_mes_lost_is_explained_by_the_finding(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        no = await office.order("A-1", Stage.MANUFACTURING_APPROVED)

        def lose(work: Any) -> None:
            work.raw.execute("DELETE FROM floor_work_orders WHERE reference = ?", (no,))

        await office.store.write(lose)
        support = await office.desk(Role.SUPPORT)
        office.clock.advance(timedelta(minutes=1))
        await support.send("POST", "/reconciliation/start", {})
        await finish(office)
        await support.send("POST", "/balance/count", {})

        explained = await support.get(f"/orders/{no}/explain")
        [difference] = (await support.get("/balance"))["differences"]

        assert (explained["state"], explained["rule"]) == ("stuck", "S4")
        assert (difference["system"], difference["kind"], difference["order_no"]) == (
            "mes", "missing_there", no,
        )  # fmt: skip


CSV = "number,note,customer\nA-1,known,Anna\nL-1,lost,Anna\nL-2,lost,Boris\n"


async def imports(desk: Desk, content: str = CSV, **query: str) -> Any:
    return await desk.http.post(
        "/office/v1/lost/import", params={"source": "shop", **query}, content=content.encode()
    )


@pytest.mark.parametrize("role", Role)
async def test_importing_is_for_support_and_bringing_back_for_sellers_too(
    role: Role, tmp_path: Path
) -> None:
    async with running_office(tmp_path) as office:
        desk, rights = await office.desk(role), RIGHTS[role]

        seen = await desk.send("GET", "/lost")
        imported = await imports(desk)
        view = await desk.send("POST", "/lost/read-view", {})
        settled = await desk.send(
            "POST", "/lost/99/settle", {"version": 1, "state": "given_up", "reason": "x"}
        )

        assert seen.status_code == (200 if "lost.settle" in rights else 403)
        assert imported.status_code == (200 if "lost.import" in rights else 403)
        assert view.status_code == (503 if "lost.import" in rights else 403)
        assert settled.status_code == (404 if "lost.settle" in rights else 403)


async def test_a_lost_order_is_worked_through_with_who_and_why(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        no = await office.order("A-1")
        support, seller = await office.desk(Role.SUPPORT), await office.desk(Role.SELLER)

        dry = (await imports(support, dry_run="1")).json()
        assert (dry["fresh"], dry["found_here"], dry["dry_run"]) == (2, 1, True)
        assert (await support.get("/lost"))["items"] == []
        bad = await imports(support, "number,date\nL-9,never\n")
        assert bad.status_code == 422
        assert bad.json()["errors"][0]["pointer"] == "/2/ordered_at"
        await imports(support)
        await imports(support)

        found = await seller.get("/lost")
        assert found["counts"] == {"open": 2, "found_here": 1}
        first, second = found["items"]
        path = f"/lost/{first['row']}/settle"
        bare = await seller.send("POST", path, {"version": 1, "state": "brought_back"})
        assert bare.json()["errors"][0]["pointer"] == "/order_no"
        back = {"version": 1, "state": "brought_back", "order_no": no}
        assert (await seller.send("POST", path, back)).json()["decided_by"] == "person:seller"
        assert (await seller.send("POST", path, back)).status_code == 409
        given = {"version": 1, "state": "given_up", "reason": "the client has died"}
        await seller.send("POST", f"/lost/{second['row']}/settle", given)

        assert (await seller.get("/lost"))["items"] == []
        [kept] = (await seller.get("/lost", show="given_up"))["items"]
        assert (kept["number"], kept["reason"], kept["customer"]) == (
            "L-2", "the client has died", "Boris",
        )  # fmt: skip
