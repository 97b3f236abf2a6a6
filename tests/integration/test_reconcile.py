"""The standing comparison against a practice MES that loses, doubles, lags and stays silent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orderkeep.kernel.ids import OrderNo
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.passes import Finding, Pass
from orderkeep.ledger.reconcile import Decision, Kind
from orderkeep.orders.commands import ApproveOrder
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.counter import Shop
from orderkeep.testing.practice_mes import PracticeMesProcess

QUICK = {
    "ORDERKEEP_MES": "http",
    "ORDERKEEP_MES_VISIBILITY_LAG": "1ms",
    "ORDERKEEP_MES_POLL": "1h",
    "ORDERKEEP_MES_PAUSE": "1ms",
}


@asynccontextmanager
async def opened(folder: Path, mes: PracticeMesProcess, **more: str) -> AsyncIterator[Shop]:
    names = {f"ORDERKEEP_{name.upper()}": value for name, value in more.items()}
    async with Shop(folder, **{**QUICK, "ORDERKEEP_MES_URL": mes.address, **names}) as shop:
        yield shop


async def sent(shop: Shop, count: int) -> list[OrderNo]:
    """Orders that the MES has confirmed."""
    file_id = await shop.file(1)
    numbers = [await shop.submit(f"ref-{n}", file_id) for n in range(count)]
    await shop.settle()
    for no in numbers:
        await shop.do(no, ApproveOrder())
    await shop.settle()
    return numbers


async def compare(shop: Shop, by: str = "vera") -> Pass:
    """A whole pass, as a person asks for it."""
    asked = await shop.parts.reconciler.ask(by)
    for _ in range(1000):
        await shop.parts.reconciler.step()
        last = await shop.parts.store.read(lambda work: work.reconciling.last("mes"))
        if last is not None and last.row == asked.row:
            return last
    raise AssertionError("the pass does not end")


async def findings(shop: Shop, *states: str) -> list[Finding]:
    wanted = states or ("open", "decided")
    page = await shop.parts.store.read(lambda work: work.reconciling.page(wanted, None, 100))
    return list(reversed(page))


async def decide(shop: Shop, finding: Finding, decision: Decision) -> None:
    def unit(work: Any) -> None:
        work.reconciling.change(finding, state="decided", decision=decision, decided_by="vera")

    await shop.parts.store.write(unit)
    await shop.parts.reconciler.step()


async def lose_its_memory(mes: PracticeMesProcess) -> None:
    mes.stop()
    mes.journal.unlink()
    mes.start()


@pytest.fixture
def mes(tmp_path: Path) -> Any:
    with PracticeMesProcess(tmp_path / "mes.jsonl") as mes:
        yield mes


WAYS = [{"mes_listing": "on"}, {"mes_listing": "off"}, {"mes_lookup": "off"}]
NAMES = ["list and look-up", "look-up only", "list only"]


@pytest.mark.parametrize("ways", WAYS, ids=NAMES)
async def test_a_mes_that_agrees_leaves_nothing_to_say(
    ways: dict[str, str], mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, **ways) as shop:
        await sent(shop, 3)

        done = await compare(shop)

        assert await findings(shop, "open", "suspected") == []
        assert (done.ours, done.compared, done.unanswered) == (3, 3, 0)
        assert done.shown == (0 if ways.get("mes_listing") == "off" else 3)


@pytest.mark.parametrize("ways", WAYS, ids=NAMES)
async def test_what_the_mes_lost_is_named_after_two_looks(
    ways: dict[str, str], mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, **ways) as shop:
        [first, second] = await sent(shop, 2)
        await lose_its_memory(mes)

        await compare(shop)
        if ways.get("mes_lookup") == "off":
            assert await findings(shop) == []  # One list may lie: the next one is the proof.
            await compare(shop)

        found = await findings(shop)
        assert [(one.kind, one.order_no) for one in found] == [
            (Kind.MISSING_THERE, first),
            (Kind.MISSING_THERE, second),
        ]
        assert mes.effects() == {}


async def test_jobs_that_nobody_asked_for_are_named(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes) as shop:
        [no] = await sent(shop, 1)
        for reference in ("SOMEBODY-1", f"{no}/2"):
            wanted = {"external_id": reference, "positions": [{"position": 1, "quantity": 1}]}
            mes.ask("POST", "/api/orders", json=wanted)

        await compare(shop)

        found = {(one.kind, one.reference, one.order_no) for one in await findings(shop)}
        assert found == {
            (Kind.MISSING_HERE, "SOMEBODY-1", None),
            (Kind.MISSING_HERE, f"{no}/2", no),
        }


async def test_a_doubled_job_differs(mes: PracticeMesProcess, tmp_path: Path) -> None:
    async with opened(tmp_path, mes) as shop:
        [no] = await sent(shop, 1)
        wanted = {"external_id": no, "positions": [{"position": 1, "quantity": 1}]}
        mes.ask("POST", "/api/orders", json=wanted)

        await compare(shop)

        [one] = await findings(shop)
        assert (one.kind, one.order_no) == (Kind.DIFFERS, no)
        assert "2 times" in one.what


async def test_a_status_is_adopted_when_a_person_says_so(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes) as shop:
        [no] = await sent(shop, 1)
        [job] = mes.ask("GET", f"/api/orders?ref={no}")["items"]
        mes.ask("POST", f"/api/orders/{job['id']}/status", json={"status": "started"})

        await compare(shop)
        [one] = await findings(shop)
        assert (one.kind, list(one.repairs)) == (Kind.DIFFERS, [Decision.ADOPT])
        await decide(shop, one, Decision.ADOPT)

        assert (await shop.order(no)).stage is Stage.MANUFACTURING_STARTED
        assert [kept.state for kept in await findings(shop, "repaired")] == ["repaired"]
        await compare(shop)
        assert await findings(shop) == []


async def resent(shop: Shop, no: OrderNo) -> bool:
    """Whether the bridge gets it to the MES again, by its own rules."""
    for _ in range(20):
        await shop.settle("bridge")
        order = await shop.order(no)
        if order.work_order and order.work_order.delivered is Delivered.CONFIRMED:
            return True
    return False


@pytest.mark.parametrize("by_policy", ["by policy", ""])
async def test_what_is_proven_absent_is_sent_again_once(
    by_policy: str, mes: PracticeMesProcess, tmp_path: Path
) -> None:
    policy = {"reconcile_missing_there": "resend"} if by_policy else {}
    async with opened(tmp_path, mes, **policy) as shop:
        [no] = await sent(shop, 1)
        await lose_its_memory(mes)

        await compare(shop)
        [one] = await findings(shop)
        assert one.state == ("decided" if by_policy else "open")
        if by_policy:
            await shop.parts.reconciler.step()
        else:
            await decide(shop, one, Decision.RESEND)

        order = await shop.order(no)
        assert order.work_order is not None
        assert order.work_order.delivered is Delivered.UNCERTAIN
        assert mes.effects() == {}, "sent before the bridge has proven anything"
        assert await resent(shop, no)
        await compare(shop)
        assert await findings(shop) == []
        assert mes.effects() == {no: 1}


async def test_a_mes_that_shows_it_after_all_gets_no_second_one(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    """It denied one twice; asked by the bridge before the send, it remembers."""
    async with opened(tmp_path, mes, mes_listing="off") as shop:
        [no] = await sent(shop, 1)
        mes.behave(lag_seconds=3600)
        await compare(shop)
        [one] = await findings(shop)
        mes.behave()

        await decide(shop, one, Decision.RESEND)

        assert await resent(shop, no)
        assert mes.effects() == {no: 1}


async def test_a_mes_that_denies_many_at_once_is_not_believed(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, reconcile_missing_there="resend") as shop:
        numbers = await sent(shop, 11)
        mes.behave(lag_seconds=3600)  # It lies: all of them are there.

        done = await compare(shop)
        await shop.settle("bridge")
        await shop.parts.reconciler.step()

        assert done.note is not None
        assert "not believed" in done.note
        assert {one.state for one in await findings(shop)} == {"open"}
        assert mes.effects() == dict.fromkeys(numbers, 1)


async def test_what_is_newer_than_the_lag_is_left_in_peace(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, mes_visibility_lag="1h") as shop:
        await sent(shop, 2)
        mes.behave(lag_seconds=3600)

        await compare(shop)

        assert await findings(shop, "open", "suspected") == []


async def test_silence_proves_nothing_and_settles_nothing(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, mes_listing="off") as shop:
        [no] = await sent(shop, 1)
        mes.behave(lag_seconds=3600)
        await compare(shop)
        assert [one.order_no for one in await findings(shop)] == [no]

        mes.behave(faults=["500:op=find"])
        done = await compare(shop)

        assert done.unanswered == 1
        assert [one.order_no for one in await findings(shop)] == [no]


async def test_a_finding_that_is_gone_is_closed_and_a_dismissed_one_stays_so(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, mes_listing="off") as shop:
        await sent(shop, 2)
        mes.behave(lag_seconds=3600)
        await compare(shop)
        [first, _] = await findings(shop)

        def dismiss(work: Any) -> None:
            work.reconciling.change(first, state="dismissed", decided_by="vera")

        await shop.parts.store.write(dismiss)
        await compare(shop)
        assert len(await findings(shop)) == 1
        mes.behave()
        await compare(shop)

        assert await findings(shop) == []
        assert len(await findings(shop, "dismissed")) == 1


async def test_a_pass_goes_on_where_another_process_stopped(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    gentle = {"reconcile_lookups": "1", "mes_listing": "off"}
    async with opened(tmp_path, mes, **gentle) as shop:
        *_, last = await sent(shop, 3)
        asked = await shop.parts.reconciler.ask("vera")
        for _ in range(3):
            await shop.parts.reconciler.step()  # Begun, and two of three are compared.

    before = len(mes.entries())
    async with opened(tmp_path, mes, **gentle) as shop:
        done = await compare(shop)

        assert (done.row, done.compared) == (asked.row, 3)
        assert {one.reference for one in mes.entries()[before:] if one.op == "find"} == {last}


async def test_a_pass_begins_by_itself_when_it_is_time(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, reconcile_every="10ms") as shop:
        await sent(shop, 1)
        for _ in range(1000):
            await shop.parts.reconciler.step()
            last = await shop.parts.store.read(lambda work: work.reconciling.last("mes"))
            if last is not None:
                break

        assert last is not None
        assert last.by == "policy"
        assert last.finished_at is not None
        assert last.finished_at - last.started_at < timedelta(hours=1)


async def test_a_mes_that_is_paused_is_left_in_peace_and_the_pass_goes_on_later(
    mes: PracticeMesProcess, tmp_path: Path
) -> None:
    async with opened(tmp_path, mes, mes_listing="off", reconcile_lookups="1") as shop:
        await sent(shop, 2)
        await shop.parts.reconciler.ask("vera")
        await shop.parts.reconciler.step()
        asked = len(mes.entries())
        room = FullRoom()
        shop.parts.reconciler._mes = Asking(shop.parts.mes, room)

        for _ in range(5):
            await shop.parts.reconciler.step()
        assert len(mes.entries()) == asked
        room.full = False
        done = await compare(shop)

        assert (done.compared, done.unanswered) == (2, 0)
        assert room.taken == 0


class FullRoom:
    """Places that are all taken, until there is one."""

    def __init__(self) -> None:
        self.full = True
        self.taken = 0

    def may_call(self) -> bool:
        return not self.full

    async def reserve(self, calls: int) -> None:
        """They cannot be reserved."""

    def has_room(self) -> bool:
        return not self.full and self.taken == 0

    def enter(self) -> None:
        self.taken += 1

    def leave(self) -> None:
        self.taken -= 1
