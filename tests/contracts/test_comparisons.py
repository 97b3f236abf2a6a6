"""Every store keeps the list of lost orders, and the passes and findings of a comparison, alike."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, Submissions, add_partner
from orderkeep.bridge.ports import MesJob
from orderkeep.intake.shadow import Seen, Verdict
from orderkeep.kernel.ids import OrderNo, order_no, work_order_ref
from orderkeep.ledger.lost import LostOrder, Table
from orderkeep.ledger.lost_list import LostChanged, LostNotFound, LostState
from orderkeep.ledger.passes import DecisionRefused, FindingNotFound, Pass, PassMoved
from orderkeep.ledger.reconcile import Decision, Found, Kind
from orderkeep.ledger.worklist import Worklist
from orderkeep.orders.order import Delivered, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderNotFound
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
A_YEAR_ON = NOON + timedelta(days=365)
MES = "mes"
FOUND = Found(Kind.MISSING_THERE, "the MES shows none", [Decision.RESEND])


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(add_partner))
    return store


async def accept(store: Store, count: int) -> list[tuple[OrderNo, str]]:
    """Orders with their client's own numbers."""
    lane, submissions = store.accepting(Policy()), Submissions()
    sent = [submissions.next() for _ in range(count)]
    return [((await lane.accept(one)).order_no, one.client_ref) for one in sent]


def table(*numbers: str) -> Table:
    return Table([LostOrder(number, note="x") for number in numbers], [])


# --- lost orders --------------------------------------------------------------------------------


async def test_a_table_is_imported_once_and_what_we_hold_is_found(store: Store) -> None:
    (no, ref), (other, _) = await accept(store, 2)
    worklist = Worklist(store, TestClock(NOON), asks=True)
    whole = table(ref, other, "L-1", "L-2", "50%_\\")

    dry = await worklist.take(whole, "shop", "vera", dry_run=True)
    first = await worklist.take(whole, "shop", "vera", dry_run=False)
    again = await worklist.take(whole, "shop", "vera", dry_run=False)
    elsewhere = await worklist.take(table("L-1"), "other", "vera", dry_run=False)

    assert (dry.fresh, dry.found_here, dry.known) == (3, 2, 0)
    assert (first.fresh, first.found_here, first.known) == (3, 2, 0)
    assert (again.fresh, again.found_here, again.known) == (0, 0, 5)
    assert elsewhere.fresh == 1
    counts = await store.read(lambda work: work.lost.counts())
    assert counts == {"open": 4, "found_here": 2}
    held = await store.read(lambda work: work.lost.page("found_here", None, 10))
    assert {(one.order.number, one.order_no) for one in held} == {(ref, no), (other, other)}
    page = await store.read(lambda work: work.lost.page("open", None, 2))
    behind = await store.read(lambda work: work.lost.page("open", page[-1].row, 10))
    assert [one.order.number for one in [*page, *behind]] == ["L-1", "L-2", "50%_\\", "L-1"]
    searched = await store.read(lambda work: work.lost.page(None, None, 10, "%_\\"))
    assert [one.order.number for one in searched] == ["50%_\\"]


async def test_an_order_that_comes_in_later_is_brought_back_by_itself(store: Store) -> None:
    ref = Submissions().next().client_ref
    worklist = Worklist(store, TestClock(NOON), asks=False)
    await worklist.take(table(ref, "L-1"), "shop", "vera", dry_run=False)
    assert await store.read(lambda work: work.lost.match(NOON, 0)) == 0

    [(no, came)] = await accept(store, 1)
    assert came == ref
    matched = await store.write(lambda work: work.lost.match(LATER, 20))

    [one] = await store.read(lambda work: work.lost.page("brought_back", None, 10))
    assert (matched, one.order_no, one.decided_by, one.decided_at) == (1, no, "match", LATER)


async def test_another_partners_order_of_the_same_number_is_not_the_one_that_is_missed(
    store: Store,
) -> None:
    [(no, ref)] = await accept(store, 1)
    worklist = Worklist(store, TestClock(NOON), asks=False)
    theirs = Table([LostOrder(ref, partner="Another")], [])
    ours = Table([LostOrder(ref, partner=PARTNER)], [])

    await worklist.take(theirs, "shop", "vera", dry_run=False)
    known = await worklist.take(ours, "old shop", "vera", dry_run=False)
    matched = await store.write(lambda work: work.lost.match(LATER, 20))

    assert (known.found_here, matched) == (1, 0)
    [missed] = await store.read(lambda work: work.lost.page("open", None, 10))
    assert missed.source == "shop"
    [found] = await store.read(lambda work: work.lost.page("found_here", None, 10))
    assert found.order_no == no


async def test_digits_that_happen_to_be_a_number_of_ours_are_somebody_elses(store: Store) -> None:
    [(no, _)] = await accept(store, 1)
    worklist = Worklist(store, TestClock(NOON), asks=False)

    digits = await worklist.take(table(no.removeprefix("OK-")), "shop", "vera", dry_run=False)
    ours = await worklist.take(table(no.lower()), "shop", "vera", dry_run=False)

    assert (digits.fresh, digits.found_here) == (1, 0)
    assert (ours.fresh, ours.found_here) == (0, 1)


async def test_whoever_settles_second_is_told(store: Store) -> None:
    [(no, _)] = await accept(store, 1)
    worklist = Worklist(store, TestClock(NOON), asks=False)
    await worklist.take(table("L-1"), "shop", "vera", dry_run=False)
    [one] = await store.read(lambda work: work.lost.page("open", None, 1))

    done = await worklist.settle(one.row, one.version, LostState.BROUGHT_BACK, "olga", order_no=no)

    assert (done.state, done.order_no, done.decided_by, done.version) == (
        LostState.BROUGHT_BACK, no, "olga", 2,
    )  # fmt: skip
    with pytest.raises(LostChanged):
        await worklist.settle(one.row, one.version, LostState.GIVEN_UP, "vera", reason="old")
    with pytest.raises(LostNotFound):
        await worklist.settle(999, 1, LostState.GIVEN_UP, "vera", reason="old")
    with pytest.raises(OrderNotFound):
        await worklist.settle(one.row, 2, LostState.BROUGHT_BACK, "vera", order_no=order_no(99_999))


async def test_what_the_mes_shows_of_them_is_kept(store: Store) -> None:
    await Worklist(store, TestClock(NOON), asks=True).take(table("L-1"), "s", "vera", dry_run=False)
    [one] = await store.read(lambda work: work.lost.to_look(NOON, 10))

    await store.write(lambda work: work.lost.looked(one.row, "unknown", None, LATER))
    assert not await store.read(lambda work: work.lost.to_look(NOON, 10))
    await store.write(lambda work: work.lost.looked(one.row, "there", "M7 started", None))

    assert not await store.read(lambda work: work.lost.to_look(LATER, 10))
    [kept] = await store.read(lambda work: work.lost.page("open", None, 10))
    assert (kept.mes, kept.mes_detail) == ("there", "M7 started")


async def test_a_look_of_the_time_before_the_clock_was_set_back_is_due(store: Store) -> None:
    await Worklist(store, TestClock(NOON), asks=True).take(table("L-1"), "s", "vera", dry_run=False)
    [one] = await store.read(lambda work: work.lost.to_look(NOON, 10))
    seen = Seen("S-1", "m-1", "b" * 64, Verdict.ACCEPT)
    await store.write(lambda work: work.shadow.see("shop", seen, A_YEAR_ON))
    await store.write(lambda work: work.lost.looked(one.row, "unknown", None, A_YEAR_ON))

    assert await store.read(lambda work: work.lost.to_look(NOON, 10))
    assert await store.read(lambda work: work.shadow.to_look(NOON, 10))


# --- comparisons --------------------------------------------------------------------------------


def show(work: SqlWork, jobs: Sequence[MesJob]) -> None:
    work.reconciling.show(MES, jobs)


def note(work: SqlWork, pass_: Pass, reference: str, state: str, at: datetime) -> None:
    work.reconciling.note(pass_, reference, None, FOUND, state, at)


async def begun(store: Store) -> Pass:
    return await store.write(lambda work: work.reconciling.begin(MES, "asked", "vera", NOON))


async def test_one_pass_runs_and_nobody_takes_it_further_twice(store: Store) -> None:
    first = await begun(store)
    assert (await begun(store)).row == first.row

    moved = await store.write(
        lambda work: work.reconciling.advance(first, LATER, phase="listing", shown=5)
    )
    with pytest.raises(PassMoved):
        await store.write(lambda work: work.reconciling.advance(first, LATER, phase="done"))
    await store.write(
        lambda work: work.reconciling.advance(moved, LATER, phase="done", finished_at=LATER)
    )

    assert await store.read(lambda work: work.reconciling.running(MES)) is None
    last = await store.read(lambda work: work.reconciling.last(MES))
    assert last is not None
    assert (last.row, last.shown, last.finished_at) == (first.row, 5, LATER)


async def test_our_side_is_what_the_bridge_and_the_order_say(store: Store) -> None:
    [(no, _)] = await accept(store, 1)
    reference = work_order_ref(no, 1)

    def want(work: SqlWork) -> None:
        work.deliveries.want(MES, reference, no, NOON)
        work.raw.execute("UPDATE orders SET work_order_ref = ?1 WHERE n = 1", (reference,))

    await store.write(want)

    ours = await store.read(lambda work: work.reconciling.ours(MES, reference))
    page = await store.read(lambda work: work.reconciling.ours_after(MES, 0, 10))

    assert ours is not None
    assert (ours.order_no, ours.state, ours.stage) == (no, Delivered.PENDING, Stage.SUBMITTED)
    assert (ours.current, ours.ever_sent, ours.wanted_back) == (True, False, False)
    assert [one for _, one in page] == [ours]
    assert await store.read(lambda work: work.reconciling.ours_open(MES)) == 1
    assert await store.read(lambda work: work.reconciling.ours(MES, "X")) is None
    assert await store.read(lambda w: w.reconciling.ours_after(MES, page[0][0], 10)) == []


async def test_what_the_mes_showed_is_remembered_once_and_forgotten(store: Store) -> None:
    jobs = [MesJob("M1", "A", "started"), MesJob("M2", "A", None)]
    for some in (jobs, jobs[:1], []):
        await store.write(partial(show, jobs=some))

    assert await store.read(lambda work: work.reconciling.shown(MES, "A")) == jobs
    await store.write(lambda work: work.reconciling.forget_shown(MES))
    assert await store.read(lambda work: work.reconciling.shown(MES, "A")) == []


async def test_a_finding_keeps_its_age_and_what_was_said_of_it(store: Store) -> None:
    pass_, no = await begun(store), order_no(1)

    for state, at in (("suspected", NOON), ("open", LATER), ("suspected", LATER)):
        await store.write(partial(note, pass_=pass_, reference=no, state=state, at=at))
    [kept] = await store.read(lambda work: work.reconciling.page(("open",), None, 10))
    assert (kept.since, kept.seen_at, kept.repairs) == (NOON, LATER, [Decision.RESEND])
    assert await store.read(lambda work: work.reconciling.counts()) == {"missing_there": 1}

    await store.write(lambda work: work.reconciling.change(kept, state="dismissed"))
    with pytest.raises(DecisionRefused):
        await store.write(lambda work: work.reconciling.change(kept, state="decided"))
    await store.write(lambda w: w.reconciling.note(pass_, no, no, FOUND, "open", LATER))
    assert not await store.read(lambda work: work.reconciling.page(("open",), None, 10))

    other = Found(Kind.DIFFERS, "the MES says melted", [], "melted")
    await store.write(lambda w: w.reconciling.note(pass_, no, no, other, "open", LATER))
    await store.write(lambda work: work.reconciling.clear(pass_, no, LATER))
    states = {
        one.kind: one.state
        for one in await store.read(
            lambda work: work.reconciling.page(("gone", "dismissed"), None, 10)
        )
    }
    assert states == {Kind.MISSING_THERE: "dismissed", Kind.DIFFERS: "gone"}
    with pytest.raises(FindingNotFound):
        await store.read(lambda work: work.reconciling.finding(999))


async def test_what_a_later_pass_does_not_find_again_is_gone(store: Store) -> None:
    first = await begun(store)
    for name in ("A", "B", "C"):
        await store.write(partial(note, pass_=first, reference=name, state="open", at=NOON))
    await store.write(
        lambda work: work.reconciling.advance(first, NOON, phase="done", finished_at=NOON)
    )
    second = await begun(store)

    await store.write(lambda w: w.reconciling.note(second, "A", None, FOUND, "open", LATER))
    await store.write(lambda work: work.reconciling.touch(second, "B"))
    gone = await store.write(lambda work: work.reconciling.clear_unseen(second, LATER))

    left = await store.read(lambda work: work.reconciling.page(("open",), None, 10))
    assert (gone, sorted(one.reference for one in left)) == (1, ["A", "B"])
