"""On every store: a CRM is told of each order in its sequence, whatever goes wrong on the way."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MethodType
from typing import Any, cast

import pytest
from msgspec import ValidationError
from sqlalchemy import text
from structlog.testing import capture_logs

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.bridge.crm import (
    CRM,
    CrmOrder,
    CrmOutcomeUnknown,
    CrmRejected,
    CrmUnavailable,
    Telling,
)
from orderkeep.bridge.crm_comparing import CrmComparing
from orderkeep.bridge.crm_deciding import CrmDeciding, NothingToDecide
from orderkeep.bridge.crm_desk import CrmDesk
from orderkeep.bridge.crm_line import CrmLine, CrmSettings
from orderkeep.bridge.feed import Feed
from orderkeep.bridge.line import TRIES
from orderkeep.bridge.pace import TRIP
from orderkeep.bridge.said import command_of
from orderkeep.bridge.tray import Unknown
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.relay import Relay
from orderkeep.kernel.ids import Ids, OrderNo, order_n
from orderkeep.kernel.money import Money
from orderkeep.ledger.crm import differences
from orderkeep.orders import commands as c
from orderkeep.orders import events
from orderkeep.orders.announce import routes
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.messages import CrmSaid
from orderkeep.orders.news import News
from orderkeep.orders.order import Delivered, Order, Stage
from orderkeep.orders.policy import Policy
from orderkeep.testing.clock import TestClock
from orderkeep.testing.crm import FakeCrm
from orderkeep.testing.orders import ENGINE, SELLER
from orderkeep.testing.stores import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAUSE = timedelta(seconds=5)
POLICY = Policy()
NO, AWAY = CrmRejected("no such material", status=422), CrmUnavailable("no connection")
DOUBT = CrmOutcomeUnknown("no answer came back")


class House:
    """Orders, a CRM that is told of them, and everything between the two."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock, self.crm = store, TestClock(NOON), FakeCrm()
        self.master = OrderMaster(store, self.clock, Ids(), POLICY, crm=True)
        self.line = CrmLine(store, self.crm, self.clock, CrmSettings(pause=PAUSE), "us")
        self.desk = CrmDesk(store, self.master, self.clock)
        self.deciding = CrmDeciding(store, self.clock)
        transport = EmbeddedTransport(store, routes(floor=True, crm=True), self.clock)
        self._relay = Relay(store, transport, self.clock)
        self._inbox = InboxWorker(store, CRM, self.desk.handle, self.clock)
        self._feed = Feed(
            store, self.line.gate, self.clock, self.crm.commands,
            lambda said, _, now: command_of(said, now),
        )  # fmt: skip
        self._submissions = Submissions()

    async def accept(self) -> OrderNo:
        lane = self.store.accepting(POLICY)
        return (await lane.accept(self._submissions.next())).order_no

    async def do(self, no: OrderNo, command: c.OrderCommand, actor: events.Actor = SELLER) -> None:
        await self.master.handle(no, command, events.Cause(actor, "test", "test", ""))

    async def price(self, no: OrderNo) -> None:
        await self.do(no, c.RecordPrice(1, Money(Decimal(90), "EUR"), [], "book"), ENGINE)

    async def carry(self) -> None:
        """What is announced arrives, and nothing is told yet."""
        while await self._relay.step() + await self._inbox.step():
            pass

    async def settle(self) -> None:
        """Everything that can happen at this instant happens."""
        while await self._relay.step() + await self._inbox.step() + await self.line.step():
            pass

    async def hear(self) -> None:
        """The feed is read, and what it says is done."""
        await self._feed.step()
        await self.settle()

    def comparing(self) -> CrmComparing:
        every = timedelta(hours=1)
        return CrmComparing(self.store, self.crm, self.line.gate, self.clock, str, every)

    async def row(self, no: OrderNo) -> Telling:
        row = await self.store.read(lambda work: work.tellings.get(no))
        assert row is not None
        return row

    async def order(self, no: OrderNo) -> Order:
        return rebuild(await self.store.read(lambda work: work.orders.history(no)))

    def kinds(self, no: OrderNo) -> list[str]:
        return [kind for number, kind, _ in self.crm.told if number == no]


@pytest.fixture
def house(store: Store, runner: object) -> House:
    return House(store)


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(add_partner))
    return store


async def test_an_order_is_told_of_as_it_goes(house: House) -> None:
    no = await house.accept()
    await house.settle()
    await house.price(no)
    await house.do(no, c.ApproveOrder())
    await house.settle()

    assert house.kinds(no) == ["accepted", "priced", "approved"]
    row = await house.row(no)
    assert (row.state, row.next_at, row.attempts) == (Delivered.APPLIED, None, 0)
    told = await house.store.read(lambda work: work.tellings.told(no))
    assert [(one.kind, one.state, one.attempts) for one in told] == [
        (kind, Delivered.APPLIED, 1) for kind in ("accepted", "priced", "approved")
    ]


async def test_newer_news_waits_until_the_older_is_settled(house: House) -> None:
    no = await house.accept()
    await house.price(no)
    house.crm.mishaps.extend([DOUBT, DOUBT])
    await house.settle()
    assert house.crm.told == []
    assert (await house.row(no)).state is Delivered.UNCERTAIN

    house.clock.advance(PAUSE)
    await house.settle()
    house.clock.advance(PAUSE * 2)
    await house.settle()

    # Each try was the same news under the same key, and nothing passed it.
    assert house.crm.tries == [f"{no}.1"] * 3 + [f"{no}.2"]
    assert house.kinds(no) == ["accepted", "priced"]


async def test_the_pause_after_a_doubt_grows(house: House) -> None:
    no = await house.accept()
    house.crm.mishaps.extend([DOUBT] * 3)
    pauses = []
    for _ in range(3):
        await house.settle()
        due = (await house.row(no)).next_at
        assert due is not None
        pauses.append(due - house.clock.now())
        house.clock.time = due

    assert pauses == [PAUSE, PAUSE * 2, PAUSE * 4]


async def test_what_surely_was_not_told_costs_no_attempt(house: House) -> None:
    no = await house.accept()
    house.crm.mishaps.extend([AWAY] * TRIP)
    await house.settle()

    row = await house.row(no)
    assert (row.state, row.attempts) == (Delivered.PENDING, 0)
    tries = len(house.crm.tries)
    await house.settle()
    assert len(house.crm.tries) == tries == TRIP  # The breaker holds everything back.


async def test_refused_news_is_shown_and_later_news_goes_on(house: House) -> None:
    no = await house.accept()
    await house.price(no)
    house.crm.mishaps.append(NO)
    await house.settle()

    told = await house.store.read(lambda work: work.tellings.told(no))
    assert [(one.kind, one.state) for one in told] == [
        ("accepted", Delivered.REJECTED),
        ("priced", Delivered.APPLIED),
    ]
    assert told[0].detail == "no such material"


async def test_a_person_has_refused_news_told_again(house: House) -> None:
    no = await house.accept()
    house.crm.mishaps.append(NO)
    await house.settle()
    assert (await house.row(no)).state is Delivered.REJECTED

    await house.deciding.decide(no, "again", "vera", "it is mended")
    await house.settle()

    assert house.kinds(no) == ["accepted"]
    assert (await house.row(no)).state is Delivered.APPLIED
    with pytest.raises(NothingToDecide):
        await house.deciding.decide(no, "again", "vera", "once more")


async def test_a_person_gives_up_news_that_blocks_the_others(house: House) -> None:
    no = await house.accept()
    await house.price(no)
    house.crm.mishaps.append(DOUBT)
    await house.settle()

    await house.deciding.decide(no, "give_up", "vera", "they know it from us")
    await house.settle()

    assert house.kinds(no) == ["priced"]
    told = await house.store.read(lambda work: work.tellings.told(no))
    assert [one.state for one in told] == [Delivered.DEAD, Delivered.APPLIED]


async def test_news_that_comes_while_we_tell_is_told_after_it(house: House) -> None:
    no = await house.accept()
    await house.carry()
    row = await house.row(no)
    taken = await house.store.write(lambda work: work.tellings.take(row, "us", NOON))
    await house.price(no)
    await house.carry()  # Announced to a row that is in somebody's hands.
    assert (await house.row(no)).state is Delivered.SENDING

    await house.store.write(lambda work: work.tellings.abandon(NOON, "us"))
    await house.settle()

    assert taken.attempts == 1
    assert house.kinds(no) == ["accepted", "priced"]


async def test_news_that_is_announced_while_an_order_comes_to_rest_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was due, so the announcement left it as it was; then it was put to rest."""
    no = await house.accept()
    await house.settle()
    row = await house.row(no)
    row = await house.store.write(lambda work: work.tellings.change(row, next_at=NOON))
    read = house.store.read

    async def reads_and_stands_still(query: Any) -> Any:
        found = await read(query)
        monkeypatch.undo()
        await house.price(no)
        await house.carry()
        return found

    monkeypatch.setattr(house.store, "read", reads_and_stands_still)
    await moved(house.line, row)
    await house.settle()

    assert house.kinds(no) == ["accepted", "priced"]


async def test_whoever_was_sending_at_the_end_is_repeated_under_the_same_key(
    house: House,
) -> None:
    no = await house.accept()
    await house.carry()
    row = await house.row(no)
    await house.store.write(lambda work: work.tellings.take(row, "gone", NOON))

    assert await house.line.recover() == 1
    await house.settle()

    assert house.crm.tries == [f"{no}.1"]
    assert (await house.row(no)).state is Delivered.APPLIED


async def test_what_another_bridge_takes_first_is_not_called_taken_over(house: House) -> None:
    """Both read the same line, and one of them is a moment later with every order."""
    no = await house.accept()
    await house.carry()
    read_before = await house.row(no)
    them = CrmLine(house.store, house.crm, house.clock, CrmSettings(pause=PAUSE), "them")
    await them.step()

    with capture_logs() as said:
        await moved(house.line, read_before)

    assert "line.taken_over" not in {one["event"] for one in said}
    assert house.crm.tries == [f"{no}.1"]


async def test_an_order_that_cannot_be_read_stops_no_other_and_is_named(house: House) -> None:
    """It was the oldest each time, and with one call at once nothing else was ever told."""
    one_at_a_time = CrmSettings(concurrency=1, pause=PAUSE)
    line = CrmLine(house.store, house.crm, house.clock, one_at_a_time, "us")
    broken, other = await house.accept(), await house.accept()
    await house.carry()
    spoil = text("UPDATE events SET data = '{}' WHERE order_n = :n")
    await house.store.write(
        lambda work: cast("Any", work).connection.execute(spoil, {"n": order_n(broken)})
    )

    for _ in range(TRIES + 2):
        with suppress(ValidationError):
            await line.step()

    row = await house.row(broken)
    assert (row.state, row.next_at, row.detail) == (Delivered.DEAD, None, "ValidationError")
    assert house.kinds(other) == ["accepted"]
    late = house.clock.now() + timedelta(hours=1)
    found = await house.store.read(lambda work: differences(work, late, timedelta(minutes=15)))
    assert [one.order_no for one in found] == [broken]


async def test_what_is_taken_from_our_hands_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    no = await house.accept()
    await house.carry()
    tell = house.crm.tell

    async def while_we_are_believed_gone(news: News) -> CrmOrder:
        await house.store.write(lambda work: work.tellings.abandon(NOON, "us"))
        row = await house.row(no)
        await house.store.write(lambda work: work.tellings.take(row, "them", NOON))
        return await tell(news)

    monkeypatch.setattr(house.crm, "tell", while_we_are_believed_gone)
    with capture_logs() as said:
        await moved(house.line, await house.row(no))

    [one] = [one for one in said if one["event"] == "line.taken_over"]
    assert (one["destination"], one["subject"]) == (CRM, no)
    assert (await house.row(no)).holder == "them"


async def moved(line: CrmLine, row: Telling) -> None:
    """Have a row of a line moved as its own step would."""
    assert isinstance(line.step, MethodType)
    behind: Any = line.step.__self__
    line.gate.enter()
    await behind._guarded(row)


async def test_orders_from_before_the_crm_are_told_of_too(house: House) -> None:
    """Announced to nobody: they were there when no CRM was."""
    numbers = [await house.accept() for _ in range(3)]
    assert await house.desk.backfill() == 3
    assert await house.desk.backfill() == 0

    await house.line.step()

    assert {no for no, _, _ in house.crm.told} == set(numbers)


# --- what differs ---------------------------------------------------------------------------------


async def named(house: House, after: timedelta = timedelta(0)) -> list[tuple[str | None, str]]:
    now, late = house.clock.now() + after, timedelta(minutes=15)
    found = await house.store.read(lambda work: differences(work, now, late))
    return [(one.order_no, one.kind) for one in found]


async def test_news_that_waits_for_long_is_named_and_no_more_when_it_is_told(house: House) -> None:
    late = await house.accept()
    house.crm.mishaps.append(DOUBT)
    await house.settle()
    fine = await house.accept()
    await house.settle()

    assert await named(house) == []
    assert await named(house, timedelta(minutes=16)) == [(late, "crm_late")]
    assert (await house.row(fine)).state is Delivered.APPLIED
    house.clock.advance(PAUSE)
    await house.settle()
    assert await named(house, timedelta(minutes=16)) == []


async def test_refused_news_is_named_by_its_order(house: House) -> None:
    no = await house.accept()
    house.crm.mishaps.append(NO)
    await house.settle()

    assert await named(house, timedelta(minutes=16)) == [(no, "crm_refused")]


async def test_what_the_crm_shows_otherwise_is_named_until_it_is_told_anew(house: House) -> None:
    other, gone, fine = [await house.accept() for _ in range(3)]
    await house.settle()
    house.crm.orders[other] = replace(house.crm.orders[other], stage="SHIPPED")
    house.crm.orders.pop(gone)

    await house.comparing().step()

    assert sorted(await named(house, timedelta(minutes=16))) == [
        (other, "crm_differs"),
        (gone, "crm_differs"),
    ]
    assert (await house.row(fine)).differs is None
    await house.price(other)
    await house.settle()
    assert await named(house, timedelta(minutes=16)) == [(gone, "crm_differs")]


async def test_news_that_was_announced_to_nobody_is_told_all_the_same(house: House) -> None:
    no = await house.accept()
    await house.settle()
    await house.price(no)
    await house.store.write(lambda work: work.raw.execute("DELETE FROM outbox") and None)
    await house.settle()
    assert house.kinds(no) == ["accepted"]

    await house.comparing().step()
    await house.settle()

    assert house.kinds(no) == ["accepted", "priced"]


# --- what the CRM wants ---------------------------------------------------------------------------


def wants(no: str, command: str, name: str) -> CrmSaid:
    return CrmSaid(OrderNo(no), command, name, "said so")


async def test_its_people_approve_and_it_counts_once(house: House) -> None:
    no = await house.accept()
    await house.price(no)
    house.crm.decided += [wants(no, "approve", "D-1"), wants(no, "approve", "D-1")]
    await house.hear()

    order = await house.order(no)
    assert order.stage is Stage.MANUFACTURING_APPROVED
    history = await house.store.read(lambda work: work.orders.history(no))
    approved = [one for one in history if isinstance(one.event, events.OrderApproved)]
    assert [(str(one.cause.actor), one.cause.command) for one in approved] == [
        ("crm:crm", "approve:D-1")
    ]
    # Said again after the workshop gave it back it would be made again: its name is what counts.
    words = "SELECT count(*) FROM inbox WHERE kind = 'crm.word'"
    kept = await house.store.read(lambda work: work.raw.execute(words).fetchone())
    assert tuple(kept) == (1,)


async def test_a_refused_command_is_on_the_order_until_a_person_has_looked(house: House) -> None:
    no = await house.accept()
    house.crm.decided.append(wants(no, "close", "D-1"))
    await house.hear()

    assert (await house.order(no)).diverged == f"{no}: close: Only a shipped order is closed."
    assert house.kinds(no) == ["accepted", "diverged"]  # The CRM is told that it was refused.


@pytest.mark.parametrize(
    "said, why",
    [
        (Unknown(CRM, "unreadable", b"[1]", "D-1"), "unreadable"),
        (wants("OK-000013", "dance", "D-1"), "unknown-command: dance"),
        (wants("OK-999996", "approve", "D-1"), "unknown-order: OK-999996"),
        (wants("ring of Anna", "close", "D-1"), "unknown-order: ring of Anna"),
    ],
)
async def test_what_means_nothing_goes_to_the_tray(
    house: House, said: CrmSaid | Unknown, why: str
) -> None:
    await house.accept()
    house.crm.decided.append(said)
    await house.hear()

    [kept] = await house.store.read(lambda work: work.tray.page(None, None, 10))
    assert (kept.source, kept.why, kept.message_id) == (CRM, why, "D-1")
