"""Every store keeps what nobody understood, once, and lets people work through it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.tables import audit, quarantine, unknown_messages
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.bridge.forgetting import Forgetting
from orderkeep.bridge.sorting import Sorting
from orderkeep.bridge.tray import (
    MOST_BODY,
    MOST_OPEN,
    MOST_WHY,
    Kept,
    TrayFull,
    TrayState,
    Unknown,
    UnknownChanged,
)
from orderkeep.kernel.ids import Ids, OrderNo
from orderkeep.orders.events import Actor, ActorKind, Cause, NoteAdded
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderNotFound
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ODD = Unknown("crm", "unknown-command: dance", b'{"command": "dance"}', "c-1", {"X-Kind": "dance"})
POLICY = Policy()
HANNA = Cause(Actor(ActorKind.PERSON, "hanna", "support"), "", "office", "")


async def keep(store: Store, *unknown: Unknown) -> list[bool]:
    def keep_all(work: SqlWork) -> list[bool]:
        return [work.tray.keep(one, NOON) for one in unknown]

    return await store.write(keep_all)


async def page(store: Store, state: TrayState | None = None) -> list[Kept]:
    return list(await store.read(lambda work: work.tray.page(state, None, 100)))


@pytest.fixture
def sorting(store: Store) -> Sorting:
    clock = TestClock(NOON + timedelta(hours=1))
    return Sorting(store, OrderMaster(store, clock, Ids(), POLICY), clock)


async def test_a_message_is_kept_as_it_came(store: Store) -> None:
    await keep(store, ODD)

    [kept] = await page(store)
    assert (kept.source, kept.message_id, kept.why) == ("crm", "c-1", "unknown-command: dance")
    assert (kept.body, kept.size_bytes) == (ODD.body, len(ODD.body))
    assert (kept.headers, kept.received_at) == ({"X-Kind": "dance"}, NOON)
    assert (kept.state, kept.handled_by, kept.note) == (TrayState.OPEN, None, None)


async def test_a_repeat_adds_nothing_and_other_words_under_its_name_do(store: Store) -> None:
    nameless = Unknown("mes", "unreadable", b"<html>")
    other = Unknown("crm", ODD.why, b'{"command": "sing"}', "c-1")

    fresh = await keep(store, ODD, ODD, other, nameless, nameless)

    assert fresh == [True, False, True, True, False]
    assert len(await page(store)) == 3


async def test_of_a_huge_body_the_beginning_is_kept_and_its_size_known(store: Store) -> None:
    huge = Unknown("mes", "unreadable", b"x" * (MOST_BODY + 1))

    await keep(store, huge)

    [kept] = await page(store)
    assert (len(kept.body), kept.size_bytes) == (MOST_BODY, MOST_BODY + 1)


async def test_a_header_that_could_let_anybody_in_is_not_kept(store: Store) -> None:
    said = {"Authorization": "Bearer x", "X-Api-Key": "y", "Set-Cookie": "z", "X-Kind": "a"}

    await keep(store, Unknown("mes", "unreadable", b"?", headers=said))

    assert (await page(store))[0].headers == {"X-Kind": "a"}


def fill(work: SqlWork) -> None:
    """As many open messages of the MES as there may be, written at once."""
    one = {
        "source": "mes", "body_sha256": "", "received_at": NOON, "why": "unreadable",
        "body": b"", "size_bytes": 0, "headers": "{}", "state": TrayState.OPEN,
    }  # fmt: skip
    many = [one | {"message_id": str(n)} for n in range(MOST_OPEN)]
    work.connection.execute(insert(unknown_messages), many)


async def test_a_full_tray_takes_no_more_of_that_source_and_still_of_others(store: Store) -> None:
    known = Unknown("mes", "unreadable", b"was here before")
    await keep(store, known)
    await store.write(fill)

    assert await keep(store, known) == [False]  # It needs no room.
    with pytest.raises(TrayFull):
        await keep(store, Unknown("mes", "unreadable", b"one more"))
    assert await keep(store, ODD) == [True]


async def test_pages_go_from_the_newest_to_the_oldest(store: Store) -> None:
    await keep(store, *(Unknown("mes", "unreadable", b"%d" % n) for n in range(5)))

    first = await store.read(lambda work: work.tray.page(None, None, 2))
    then = await store.read(lambda work: work.tray.page(None, first[-1].row, 2))

    assert [one.body for one in (*first, *then)] == [b"4", b"3", b"2", b"1"]


async def test_who_puts_a_message_aside_says_why_and_the_audit_keeps_it(
    store: Store, sorting: Sorting
) -> None:
    await keep(store, ODD)
    row = (await page(store))[0].row

    aside = await sorting.put_aside(row, HANNA, "a test of theirs")

    assert (aside.state, aside.handled_by, aside.note) == ("aside", "hanna", "a test of theirs")
    assert await page(store, TrayState.OPEN) == []
    with pytest.raises(UnknownChanged):
        await sorting.put_aside(row, HANNA, "once more")
    said = await store.read(
        lambda work: work.connection.execute(select(audit.c.action)).scalars().all()
    )
    assert said == ["unknown.aside"]
    assert (await sorting.take_up(row, HANNA, "after all")).state is TrayState.OPEN


async def test_a_message_given_to_an_order_is_a_note_there_without_its_body(
    store: Store, sorting: Sorting
) -> None:
    await store.write(add_partner)
    lane = store.accepting(POLICY)
    an_order = (await lane.accept(Submissions().next())).order_no
    await keep(store, ODD)
    row = (await page(store))[0].row

    given = await sorting.give(row, an_order, HANNA, "they want it sooner")

    assert (given.state, given.order_no) == (TrayState.GIVEN, an_order)
    history = await store.read(lambda work: work.orders.history(an_order))
    assert history[-1].event == NoteAdded(f"they want it sooner (crm #{row})")
    assert history[-1].cause.actor.id == "hanna"


async def test_a_message_stays_open_when_the_order_does_not_exist(
    store: Store, sorting: Sorting
) -> None:
    await keep(store, ODD)
    row = (await page(store))[0].row

    with pytest.raises(OrderNotFound):
        await sorting.give(row, OrderNo("OK-999999"), HANNA, "whose is it")

    assert [one.row for one in await page(store, TrayState.OPEN)] == [row]


# --- forgetting -----------------------------------------------------------------------------------


def forgetting(store: Store, now: datetime) -> Forgetting:
    return Forgetting(store, TestClock(now), timedelta(days=90))


async def test_what_was_settled_long_ago_is_forgotten_and_what_is_open_never(
    store: Store, sorting: Sorting
) -> None:
    await keep(store, ODD, Unknown("mes", "unreadable", b"nobody looked"))
    row = next(one.row for one in await page(store) if one.body == ODD.body)
    await sorting.put_aside(row, HANNA, "a test of theirs")

    assert await forgetting(store, NOON + timedelta(days=89)).step() == 0
    assert len(await page(store)) == 2
    assert await forgetting(store, NOON + timedelta(days=10_000)).step() == 1

    assert [one.body for one in await page(store)] == [b"nobody looked"]
    assert await forgetting(store, NOON + timedelta(days=10_000)).step() == 0


async def test_a_message_too_long_for_the_tray_is_forgotten_whole(
    store: Store, sorting: Sorting
) -> None:
    """Its whole body lies in quarantine, and counts as one message with its row in the tray."""
    body, now = b"x" * (MOST_BODY + 1), NOON

    def keep_both(work: Any) -> None:
        work.tray.keep(Unknown("shop", "not-mapped", body, "m-1"), now)
        work.inbox.set_aside("shop", "m-1", body, "not-mapped", now)
        work.inbox.set_aside("shop", None, b"another", "not-mapped", now)

    await store.write(keep_both)
    assert await not_yet(store) == (2, 1)

    await sorting.put_aside((await page(store))[0].row, HANNA, "seen")
    assert await not_yet(store) == (1, 0)
    await forgetting(store, NOON + timedelta(days=365)).step()

    assert await page(store) == []
    assert await not_yet(store) == (1, 0)
    left = select(quarantine.c.body).order_by(quarantine.c.row)
    assert await store.read(lambda work: work.connection.execute(left).scalars().all()) == [
        b"", b"another",
    ]  # fmt: skip


async def not_yet(store: Store) -> tuple[int, int]:
    """What the balance says was received and is no order, and how much of it nobody understood."""
    found = await store.read_long(lambda work: ledger_of(work).balance(NOON))
    return found.received_not_yet, found.not_understood


async def test_of_a_long_reason_the_beginning_is_kept(store: Store) -> None:
    await keep(store, Unknown("crm", "unknown-command: " + "x" * 10_000, b"{}"))

    assert len((await page(store))[0].why) == MOST_WHY
