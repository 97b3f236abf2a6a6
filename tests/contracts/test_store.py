"""What every store must do, whether it writes to a disk or simulates one."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import insert

from orderkeep.access.people import Person
from orderkeep.access.ports import PersonChange
from orderkeep.access.rights import Role
from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.hot_sqlite.board_rows import read_rows
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.delivery.search import PAGE, Search
from orderkeep.intake.ports import ClientRefTaken, KeyReused, Submission
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StaleOrder
from orderkeep.kernel.ids import (
    EnvelopeId,
    Ids,
    OrderNo,
    PartnerId,
    PersonId,
    order_n,
    order_no,
    work_order_ref,
)
from orderkeep.kernel.money import Money
from orderkeep.orders.announce import envelopes_for
from orderkeep.orders.commands import (
    ApproveOrder,
    ClaimOrder,
    RecordDelivery,
    RecordPrice,
)
from orderkeep.orders.events import Actor, ActorKind, Cause, NoteAdded, OrderSubmitted, Recorded
from orderkeep.orders.evolve import evolve, rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Delivered, Position
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderNotFound
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.view import BoardRow, board_row
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PARTNER = PartnerId("p1")
POLICY = Policy()
CAUSE = Cause(Actor(ActorKind.PARTNER, PARTNER), "accept", "door", "0" * 32)
SELLER = Cause(Actor(ActorKind.PERSON, "sofia", "seller"), "approve", "office", "1" * 32)
BROKEN_RULE = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
READ_ONLY = (sqlite3.OperationalError, asyncpg.ReadOnlySQLTransactionError)
OPERATOR = Cause(Actor(ActorKind.PERSON, "oleg", "operator"), "claim", "office", "2" * 32)


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(add_partner))
    return store


def add_partner(work: SqlWork) -> None:
    partner = {"id": PARTNER, "name": "Partner", "created_at": NOON}
    work.connection.execute(insert(tables.partners), partner)


def a_submission(
    ref: str = "A-1",
    key: str | None = None,
    note: str = "",
    partner: str = PARTNER,
    promise: timedelta = timedelta(days=21),
) -> Submission:
    body = f'{{"client_ref":"{ref}","note":"{note}"}}'.encode()
    sha256 = hashlib.sha256(body).hexdigest()
    event = OrderSubmitted(
        channel="api",
        positions=[Position(1, 2, material="ag925"), Position(2, 1, sku="CHAIN-1")],
        body_sha256=sha256,
        promise_at=NOON + promise,
        partner_id=PartnerId(partner),
        client_ref=ref,
    )
    return Submission(
        partner_id=PartnerId(partner),
        client_ref=ref,
        key=key or f"key-{ref}",
        body=body,
        body_sha256=sha256,
        event=event,
        cause=CAUSE,
        envelope_id=f"env-{ref}-{key}",
        at=NOON,
    )


def an_envelope(name: str, order_key: str = "OK-000013", body: bytes = b"{}") -> Envelope:
    return Envelope(EnvelopeId(name), "price.wanted", 1, order_key, NOON, "0" * 32, body)


async def counters(store: Store) -> dict[str, int]:
    found = await store.read(lambda work: work.raw.execute("SELECT * FROM counters").fetchall())
    return {name: value for name, value in found if value}


async def board(store: Store, no: OrderNo) -> BoardRow:
    n = order_n(no) or 0
    return (await store.read(lambda work: read_rows(work, [n])))[0]


async def an_approved_order(store: Store, ref: str = "A-1") -> OrderNo:
    """An order at the MES, free to be claimed."""
    no = (await store.accepting(POLICY).accept(a_submission(ref))).order_no
    reference = work_order_ref(no, 1)
    for command in (
        RecordPrice(1, Money(Decimal(90), "EUR"), [], "book"),
        ApproveOrder(),
        RecordDelivery("mes", reference, Delivered.SENDING),
        RecordDelivery("mes", reference, Delivered.CONFIRMED),
    ):
        await the_master(store).handle(no, command, SELLER)
    return no


def the_master(store: Store) -> OrderMaster:
    return OrderMaster(store, TestClock(NOON), Ids(), POLICY)


# --- accepting ----------------------------------------------------------------------------------


async def test_orders_are_numbered_without_a_gap(store: Store) -> None:
    lane = store.accepting(POLICY)

    accepted = await asyncio.gather(*[lane.accept(a_submission(f"A-{i}")) for i in range(100)])

    assert {one.order_no for one in accepted} == {order_no(n) for n in range(1, 101)}
    assert await counters(store) == {"orders": 100, "stage:SUBMITTED": 100}


async def test_what_was_accepted_can_be_read_at_once(store: Store) -> None:
    submission = a_submission()

    accepted = await store.accepting(POLICY).accept(submission)

    [first] = await store.read(lambda work: work.orders.history(accepted.order_no))
    assert first.event == submission.event
    assert first.cause == CAUSE
    body = await store.read(lambda work: work.submissions.body(accepted.order_no))
    assert body == submission.body


@pytest.mark.parametrize("days", [0.01, 1, 21])
async def test_a_fresh_board_row_is_what_the_event_makes_of_it(store: Store, days: float) -> None:
    seen: list[BoardRow] = []
    store.on_changes(seen.extend)

    submission = a_submission(promise=timedelta(days=days))
    no = (await store.accepting(POLICY).accept(submission)).order_no

    [first] = await store.read(lambda work: work.orders.history(no))
    expected = board_row(evolve(None, first), POLICY, NOON)
    assert await board(store, no) == expected
    await asyncio.sleep(0)
    assert seen == [expected]


async def test_accepting_announces_what_the_master_would_announce(store: Store) -> None:
    no = (await store.accepting(POLICY).accept(a_submission())).order_no

    [leased] = await store.write(lambda work: work.outbox.lease(NOON, NOON, 10))

    history = await store.read(lambda work: work.orders.history(no))
    [expected] = envelopes_for(rebuild(history), history, Ids())
    found = leased.envelope
    assert (found.kind, found.schema_version, found.order_key, found.body, found.trace_id) == (
        expected.kind,
        expected.schema_version,
        expected.order_key,
        expected.body,
        expected.trace_id,
    )


async def test_the_same_key_and_body_get_the_first_answer(store: Store) -> None:
    lane = store.accepting(POLICY)
    first = await lane.accept(a_submission())

    again = await lane.accept(a_submission())

    assert (again.order_no, again.accepted_at) == (first.order_no, first.accepted_at)
    assert not first.replayed
    assert again.replayed


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    lane = store.accepting(POLICY)
    await lane.accept(a_submission(key="k"))

    with pytest.raises(KeyReused):
        await lane.accept(a_submission(key="k", note="changed"))

    assert await counters(store) == {"orders": 1, "stage:SUBMITTED": 1}


async def test_a_known_client_ref_names_its_order_when_the_body_differs(store: Store) -> None:
    lane = store.accepting(POLICY)
    first = await lane.accept(a_submission(key="k1"))

    with pytest.raises(ClientRefTaken) as taken:
        await lane.accept(a_submission(key="k2", note="changed"))

    assert taken.value.facts["order_no"] == first.order_no


async def test_a_second_key_for_the_same_submission_means_the_same_order(store: Store) -> None:
    lane = store.accepting(POLICY)
    first = await lane.accept(a_submission(key="k1"))

    second = await lane.accept(a_submission(key="k2"))

    assert second.order_no == first.order_no
    assert second.replayed
    with pytest.raises(KeyReused):
        await lane.accept(a_submission("B-1", key="k2"))


async def test_twins_that_wait_together_become_one_order(store: Store) -> None:
    lane = store.accepting(POLICY)

    twins = await asyncio.gather(*[lane.accept(a_submission(key="k")) for _ in range(5)])
    cousins = await asyncio.gather(*[lane.accept(a_submission(key=f"k{i}")) for i in range(5)])

    assert {one.order_no for one in (*twins, *cousins)} == {twins[0].order_no}
    assert [one.replayed for one in (*twins, *cousins)].count(False) == 1
    assert await counters(store) == {"orders": 1, "stage:SUBMITTED": 1}


async def test_a_bad_submission_is_refused_alone(store: Store) -> None:
    lane = store.accepting(POLICY)
    good = [lane.accept(a_submission(f"A-{i}")) for i in range(9)]
    bad = lane.accept(a_submission("B-1", partner="nobody"))

    outcomes = await asyncio.gather(*good[:4], bad, *good[4:], return_exceptions=True)

    assert [isinstance(one, BROKEN_RULE) for one in outcomes].count(True) == 1
    assert await counters(store) == {"orders": 9, "stage:SUBMITTED": 9}


class Listening:
    """Somebody who is told, and does not wait."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()

    def done(self) -> bool:
        return False

    def set_result(self, outcome: Any) -> None:
        self.told.put_nowait(outcome)

    def set_exception(self, error: Any) -> None:
        self.told.put_nowait(error)


async def test_who_leaves_a_submission_is_told_what_who_waits_would_be(store: Store) -> None:
    lane, first, again, refused = store.accepting(POLICY), Listening(), Listening(), Listening()

    lane.leave(a_submission(key="k1"), first)
    accepted = await first.told.get()
    lane.leave(a_submission(key="k1"), again)
    lane.leave(a_submission(key="k2", note="changed"), refused)

    assert (accepted.order_no, accepted.replayed) == (order_no(1), False)
    assert (await again.told.get()) == msgspec.structs.replace(accepted, replayed=True)
    assert type(await refused.told.get()) is ClientRefTaken
    assert await lane.accept(a_submission(key="k1")) == await lane.accept(a_submission(key="k1"))


# --- units of work ------------------------------------------------------------------------------


async def test_a_unit_that_fails_is_undone_alone(store: Store) -> None:
    def takes_a_number(work: SqlWork) -> OrderNo:
        return work.orders.next_no()

    def fails(work: SqlWork) -> None:
        work.orders.next_no()
        raise ValueError("no")

    outcomes = await asyncio.gather(
        store.write(takes_a_number),
        store.write(fails),
        store.write(takes_a_number),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], ValueError)
    # Side by side: which of the two is first is not promised.
    assert {outcomes[0], outcomes[2]} == {order_no(1), order_no(2)}


async def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(READ_ONLY):
        await store.read(lambda work: work.raw.execute("DELETE FROM partners"))


async def test_a_woken_topic_rings_after_the_commit(store: Store, bells: Bells) -> None:
    await store.write(lambda work: work.wake("something"))

    async with asyncio.timeout(10):
        await bells.wait("something", timeout_s=60)


async def test_core_and_bare_statements_share_the_unit(store: Store) -> None:
    def writes_both_ways(work: SqlWork) -> None:
        other = {"id": "p2", "name": "Other", "created_at": NOON}
        work.connection.execute(insert(tables.partners), other)
        work.raw.execute("UPDATE partners SET name = 'Changed' WHERE id = 'p2'")
        raise ValueError("undo both")

    with pytest.raises(ValueError, match="undo both"):
        await store.write(writes_both_ways)

    names = await store.read(lambda work: work.raw.execute("SELECT name FROM partners").fetchall())
    assert names == [("Partner",)]


async def test_names_are_two_columns_of_everybody_who_was_ever_here(store: Store) -> None:
    """Asked for every few seconds on the loop that takes orders: whole people cost it 2 ms."""
    asked: list[str] = []

    def names(work: SqlWork) -> tuple[Mapping[str, str], Mapping[str, str]]:
        work.raw.set_trace_callback(asked.append)
        try:
            return work.access.names()
        finally:
            work.raw.set_trace_callback(None)

    def somebody_comes_and_goes(work: SqlWork) -> None:
        anna = Person(PersonId("1"), "anna", "Анна", Role.SELLER, "ru", NOON)
        work.access.add_person(anna, "hash")
        work.access.change_person(PersonId("1"), PersonChange(disabled=True), NOON)

    await store.write(somebody_comes_and_goes)

    assert await store.read(names) == ({"anna": "Анна"}, {PARTNER: "Partner"})
    assert [line for line in asked if line.startswith("SELECT")] == [
        "SELECT login, name FROM people",
        "SELECT id, name FROM partners",
    ]


# --- orders -------------------------------------------------------------------------------------


async def test_the_board_row_and_the_counters_follow_the_events(store: Store) -> None:
    no = await an_approved_order(store)

    history = await store.read(lambda work: work.orders.history(no))

    assert [one.seq for one in history] == list(range(1, len(history) + 1))
    assert await board(store, no) == board_row(rebuild(history), POLICY, NOON)
    assert await counters(store) == {"orders": 1, "stage:MANUFACTURING_APPROVED": 1}


async def test_whoever_was_slower_is_told(store: Store) -> None:
    no = await an_approved_order(store)
    row = await board(store, no)
    note = Recorded(no, row.version, NOON, row.stage, SELLER, NoteAdded("late"))

    with pytest.raises(StaleOrder):
        await store.write(lambda work: work.orders.append(row.version - 1, [note], row))

    history = await store.read(lambda work: work.orders.history(no))
    assert len(history) == row.version


async def test_an_unknown_order_is_not_found(store: Store) -> None:
    for no in (order_no(1), OrderNo("nonsense")):
        with pytest.raises(OrderNotFound):
            await store.read(partial(_history, no))


# --- the outbox ---------------------------------------------------------------------------------


async def test_only_the_first_unsent_envelope_of_an_order_travels(store: Store) -> None:
    posted = [an_envelope("a1", "a"), an_envelope("a2", "a"), an_envelope("b1", "b")]
    await store.write(lambda work: work.outbox.post(posted))

    leased = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    nothing = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    await store.write(lambda work: work.outbox.sent(leased, NOON))
    rest = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))

    assert [one.envelope for one in leased] == [posted[0], posted[2]]
    assert list(nothing) == []
    assert [one.envelope.id for one in rest] == ["a2"]


async def test_who_overslept_its_lease_cannot_mark_the_row(store: Store) -> None:
    await store.write(lambda work: work.outbox.post([an_envelope("a1")]))
    overslept = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    again = await store.write(lambda work: work.outbox.lease(later(2), later(3), 10))

    marked = await store.write(lambda work: work.outbox.sent(overslept, later(2)))

    assert marked == 0
    assert again[0].token > overslept[0].token
    assert await store.write(lambda work: work.outbox.sent(again, later(2))) == 1


async def test_what_was_put_back_is_due_when_said(store: Store) -> None:
    await store.write(lambda work: work.outbox.post([an_envelope("a1")]))
    leased = await store.write(lambda work: work.outbox.lease(NOON, later(60), 10))

    resting = Tried(carried=False, rest=timedelta(minutes=5))
    await store.write(lambda work: work.outbox.settle([(leased[0], resting)], NOON))

    assert not await store.write(lambda work: work.outbox.lease(later(4), later(60), 10))
    assert await store.write(lambda work: work.outbox.lease(later(5), later(60), 10))


async def test_a_held_backlog_hides_nobody_behind_it(store: Store) -> None:
    many = [an_envelope(f"a{i}", f"key-{i}") for i in range(1500)]
    await store.write(lambda work: work.outbox.post(many))
    await store.write(lambda work: work.outbox.lease(NOON, later(9), 1499))

    [last] = await store.write(lambda work: work.outbox.lease(NOON, later(9), 10))

    assert last.envelope.id == "a1499"


async def test_what_was_lost_on_the_way_is_carried_again(store: Store) -> None:
    await store.write(lambda work: work.outbox.post([an_envelope("a1"), an_envelope("b1", "b")]))
    leased = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    await store.write(lambda work: work.outbox.sent(leased, NOON))
    await store.write(lambda work: work.inbox.receive("quoting", [leased[1].envelope], NOON))

    carried = await store.read(lambda work: work.outbox.carried(0, 10))
    ids = [one.id for one in carried]
    held = await store.read(lambda work: work.inbox.holds("quoting", ids))
    lost = [one.row for one in carried if one.id not in held]
    await store.write(lambda work: work.outbox.send_again(lost))
    [again] = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))

    assert [one.sent_at for one in carried] == [NOON, NOON]
    assert held == {"b1"}
    assert (again.envelope.id, again.token) == ("a1", 2)
    assert await store.write(lambda work: work.outbox.sent(leased, NOON)) == 0


# --- the inbox ----------------------------------------------------------------------------------


async def test_an_envelope_is_received_once(store: Store) -> None:
    one, two = an_envelope("a1"), an_envelope("a2")

    assert await store.write(lambda work: work.inbox.receive("quoting", [one, two], NOON)) == 2
    assert await store.write(lambda work: work.inbox.receive("quoting", [one], NOON)) == 0
    assert await store.write(lambda work: work.inbox.receive("bridge", [one], NOON)) == 1


async def test_a_broker_s_answer_is_kept_with_its_row_unless_another_has_the_row(
    store: Store,
) -> None:
    await store.write(lambda work: work.outbox.post([an_envelope("a1"), an_envelope("b1", "b")]))
    mine = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    nacked = Tried(carried=False, answer="nacked", began=later(1), ended=later(2))
    await store.write(lambda work: work.outbox.settle([(row, nacked) for row in mine], later(2)))
    [again, _] = await store.write(lambda work: work.outbox.lease(later(3), later(9), 10))

    confirmed = Tried(carried=True, answer="confirmed", began=later(4), ended=later(5))
    both = [(again, confirmed), (mine[1], confirmed)]
    await store.write(lambda work: work.outbox.settle(both, later(5)))
    await store.write(lambda work: work.outbox.settle([], later(5)))

    sql = "SELECT id, answer, tries, answered_at - published_at FROM outbox ORDER BY row"
    found = await store.read(lambda work: work.raw.execute(sql).fetchall())
    assert [row[:3] for row in found] == [("a1", "confirmed", 2), ("b1", "nacked", 1)]
    assert found[0][3] == found[1][3]
    [carried] = await store.read(lambda work: work.outbox.carried(0, 10))
    assert (carried.id, carried.sent_at) == ("a1", later(5))


async def test_what_no_broker_was_asked_about_keeps_the_last_answer(store: Store) -> None:
    await store.write(lambda work: work.outbox.post([an_envelope("a1")]))
    [row] = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    nacked = Tried(carried=False, answer="nacked", began=NOON, ended=later(1))
    await store.write(lambda work: work.outbox.settle([(row, nacked)], later(1)))
    [again] = await store.write(lambda work: work.outbox.lease(later(2), later(3), 10))

    await store.write(lambda work: work.outbox.settle([(again, Tried(carried=False))], later(3)))

    sql = "SELECT answer, tries, sent_at FROM outbox"
    assert await store.read(lambda work: work.raw.execute(sql).fetchall()) == [("nacked", 1, None)]


async def test_what_the_broker_gave_up_on_is_a_dead_letter_unless_it_was_tried_here(
    store: Store,
) -> None:
    arrived = [an_envelope("a1", "a"), an_envelope("b1", "b"), an_envelope("c1", "c")]
    await store.write(lambda work: work.inbox.receive("quoting", arrived, NOON))
    a1, b1, _ = await store.read(lambda work: work.inbox.due("quoting", NOON, 10))
    await store.write(lambda work: work.inbox.retry(a1.row, later(5), "it failed"))
    await store.write(lambda work: work.inbox.handled(b1.row, NOON))

    def bury(work: SqlWork) -> None:
        for one in arrived:
            work.inbox.bury("quoting", one.id, NOON, "limit")

    await store.write(bury)

    sql = "SELECT message_id, why FROM inbox WHERE dead_at IS NOT NULL"
    assert await store.read(lambda work: work.raw.execute(sql).fetchall()) == [("c1", "limit")]


async def test_a_known_id_with_another_body_is_set_aside(store: Store) -> None:
    changed = an_envelope("a1", body=b'{"changed":true}')
    await store.write(lambda work: work.inbox.receive("quoting", [an_envelope("a1")], NOON))

    await store.write(lambda work: work.inbox.receive("quoting", [changed], NOON))

    kept = await store.read(lambda work: work.raw.execute("SELECT body FROM quarantine").fetchall())
    assert kept == [(changed.body,)]


async def test_an_order_s_envelopes_are_handled_in_turn(store: Store) -> None:
    arrived = [an_envelope("a1", "a"), an_envelope("a2", "a"), an_envelope("b1", "b")]
    await store.write(lambda work: work.inbox.receive("quoting", arrived, NOON))

    a1, b1 = await store.read(lambda work: work.inbox.due("quoting", NOON, 10))
    await store.write(lambda work: work.inbox.retry(a1.row, later(5), "it failed"))
    await store.write(lambda work: work.inbox.handled(b1.row, NOON))
    waiting = await store.read(lambda work: work.inbox.due("quoting", NOON, 10))
    [again] = await store.read(lambda work: work.inbox.due("quoting", later(5), 10))
    await store.write(lambda work: work.inbox.park(again.row, later(5), "for good"))
    [next_one] = await store.read(lambda work: work.inbox.due("quoting", later(5), 10))

    assert [a1.envelope.id, b1.envelope.id] == ["a1", "b1"]
    assert list(waiting) == []
    assert (again.envelope.id, again.attempts) == ("a1", 1)
    assert next_one.envelope.id == "a2"


# --- claiming -----------------------------------------------------------------------------------


async def test_racing_operators_never_get_the_same_order(store: Store) -> None:
    orders = [await an_approved_order(store, f"A-{i}") for i in range(6)]
    lane = store.claiming()

    taken = await asyncio.gather(
        *[lane.claim_next(f"op{i}", NOON, later(60), OPERATOR) for i in range(10)]
    )

    assert sorted(one for one in taken if one) == orders
    assert taken.count(None) == 4


async def test_claiming_leaves_what_the_master_would_leave(store: Store) -> None:
    quick, slow = [await an_approved_order(store, ref) for ref in ("A-1", "A-2")]
    until = NOON + POLICY.claim

    recorded = await store.claiming().claim(quick, "oleg", NOON, until, OPERATOR)
    handled = await the_master(store).handle(slow, ClaimOrder("oleg"), OPERATOR)

    history = await store.read(lambda work: work.orders.history(quick))
    assert history[-1] == recorded
    assert recorded.event == handled.recorded[-1].event
    assert await board(store, quick) == board_row(rebuild(history), POLICY, NOON)


async def test_the_second_operator_is_told_who_was_faster(store: Store) -> None:
    no = await an_approved_order(store)
    lane = store.claiming()
    first = await lane.claim(no, "oleg", NOON, later(60), OPERATOR)

    with pytest.raises(TransitionRefused, match="oleg"):
        await lane.claim(no, "olga", NOON, later(60), OPERATOR)

    assert await lane.claim(no, "oleg", NOON, later(60), OPERATOR) == first


async def test_the_most_urgent_order_is_taken_first(store: Store) -> None:
    calm, urgent = [await an_approved_order(store, ref) for ref in ("A-1", "A-2")]
    raise_it = "UPDATE orders SET priority = 1 WHERE n = 2"
    await store.write(lambda work: work.raw.execute(raise_it) and None)
    lane = store.claiming()

    taken = [await lane.claim_next("oleg", NOON, later(60), OPERATOR) for _ in range(3)]

    assert taken == [urgent, calm, None]


def _history(no: OrderNo, work: SqlWork) -> Sequence[Recorded]:
    return work.orders.history(no)


def later(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


# --- looking for what a broker lost --------------------------------------------------------------


async def carried_names(store: Store) -> list[str]:
    found = await store.read(lambda work: work.outbox.carried(0, 10))
    return [one.id for one in found]


async def test_what_was_carried_can_be_looked_through_and_carried_again(store: Store) -> None:
    sent = [an_envelope(f"e{n}", order_key=f"OK-{n}") for n in range(3)]
    await store.write(lambda work: work.outbox.post(sent))
    leased = await store.write(lambda work: work.outbox.lease(NOON, later(1), 10))
    await store.write(lambda work: work.outbox.sent(leased[:2], later(1)))

    first, second = await store.read(lambda work: work.outbox.carried(0, 10))
    assert (first.id, first.kind, first.order_key) == ("e0", "price.wanted", "OK-0")
    assert first.sent_at == later(1)
    assert await store.read(lambda work: work.outbox.carried(first.row, 10)) == [second]

    await store.write(lambda work: work.outbox.send_again([second.row]))

    assert await carried_names(store) == ["e0"]
    [again] = await store.write(lambda work: work.outbox.lease(NOON, later(9), 10))
    assert again.envelope == sent[1]


async def test_an_inbox_knows_what_it_has_ever_received(store: Store) -> None:
    await store.write(lambda work: work.inbox.receive("quoting", [an_envelope("e1")], NOON))

    asked = [EnvelopeId("e1"), EnvelopeId("e2")]
    assert await store.read(lambda work: work.inbox.holds("quoting", asked)) == {"e1"}
    assert await store.read(lambda work: work.inbox.holds("bridge", asked)) == set()


async def set_aside(store: Store, id_: str | None, body: bytes) -> None:
    await store.write(lambda work: work.inbox.set_aside("q", id_, body, "why", NOON))


async def test_what_is_no_envelope_is_set_aside_once(store: Store) -> None:
    for id_, body in (("m", b"\x00x"), ("m", b"\x00x"), (None, b"y"), (None, b"y"), (None, b"z")):
        await set_aside(store, id_, body)

    sql = "SELECT consumer, message_id, why, body FROM quarantine ORDER BY row"
    assert await store.read(lambda work: work.raw.execute(sql).fetchall()) == [
        ("q", "m", "why", b"\x00x"),
        ("q", None, "why", b"y"),
        ("q", None, "why", b"z"),
    ]


async def test_only_what_is_missing_and_overdue_is_searched_for(store: Store) -> None:
    names = ["old", "there", "lost", "late"]
    sent = [an_envelope(name, order_key=name) for name in names]
    await store.write(lambda work: work.outbox.post(sent))
    leased = await store.write(lambda work: work.outbox.lease(NOON, NOON, 10))
    await store.write(lambda work: work.outbox.sent(leased[:1], NOON - timedelta(days=2)))
    await store.write(lambda work: work.outbox.sent(leased[1:3], NOON - timedelta(hours=1)))
    await store.write(lambda work: work.outbox.sent(leased[3:], NOON))
    await store.write(lambda work: work.inbox.receive("quoting", sent[1:2], NOON))
    answers = [False, True]
    routes = {"price.wanted": ("quoting",)}

    async def quiet() -> bool:
        return answers.pop(0)

    search = Search(store, routes, quiet, TestClock(NOON))

    await search.step()
    assert await carried_names(store) == names  # something is still coming: nothing is missing
    await search.step()
    assert await carried_names(store) == ["old", "there", "late"]


async def test_the_search_goes_through_every_page_and_begins_anew(store: Store) -> None:
    long_ago, lately = NOON - timedelta(days=2), NOON - timedelta(hours=1)
    sent = [an_envelope(f"e{n}", order_key=f"OK-{n}") for n in range(2 * PAGE)]
    await store.write(lambda work: work.outbox.post(sent))
    leased = await store.write(lambda work: work.outbox.lease(NOON, NOON, 2 * PAGE))
    await store.write(lambda work: work.outbox.sent(leased[:100], long_ago))
    await store.write(lambda work: work.outbox.sent(leased[100:], lately))
    there = [one for n, one in enumerate(sent) if n not in {99, 100, 100 + PAGE}]
    await store.write(lambda work: work.inbox.receive("quoting", there, NOON))

    async def quiet() -> bool:
        return True

    search = Search(store, {"price.wanted": ("quoting",)}, quiet, TestClock(NOON))

    async def found() -> list[str]:
        await search.step()
        rows = await store.write(lambda work: work.outbox.lease(NOON, NOON, 9))
        await store.write(lambda work: work.outbox.sent(rows, lately))
        return [row.envelope.id for row in rows]

    assert await found() == ["e100"]
    assert await found() == [f"e{100 + PAGE}"]
    assert await found() == []  # the end
    assert await found() == ["e100"]
