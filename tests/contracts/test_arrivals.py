"""What came in a message is accepted with the message's row, on every store."""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest
from sqlalchemy import insert, select

from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake.arrivals import Arrival, Fate, MessageChanged, arrival_of
from orderkeep.intake.modes import Mode, SourceOvertaken, SourceState
from orderkeep.intake.ports import ClientRefTaken, Submission
from orderkeep.kernel.ids import PartnerId
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.order import Position
from orderkeep.orders.policy import Policy
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHOP = PartnerId("shop")
CAUSE = Cause(Actor(ActorKind.PARTNER, SHOP), "SubmitOrder shop", "shop", "0" * 32)


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(add_partner))
    return store


def add_partner(work: SqlWork) -> None:
    partner = {"id": SHOP, "name": "Web shop", "created_at": NOON}
    work.connection.execute(insert(tables.partners), partner)


def a_message(
    ref: str = "A-1", message_id: str | None = None, note: str = "", said: bytes = b""
) -> Submission:
    """What a message of the shop becomes; ``said`` are its bytes, where they differ."""
    body = f'{{"client_ref":"{ref}","note":"{note}"}}'.encode()
    canonical = sha256(body).hexdigest()
    arrival = arrival_of("shop", message_id or f"m-{ref}", said or body, None)
    return Submission(
        partner_id=SHOP,
        client_ref=ref,
        key=arrival.key,
        body=body,
        body_sha256=canonical,
        event=OrderSubmitted(
            channel="shop",
            positions=[Position(1, 1, sku="CHAIN-1")],
            body_sha256=canonical,
            promise_at=NOON,
            partner_id=SHOP,
            client_ref=ref,
        ),
        cause=CAUSE,
        envelope_id=f"env-{ref}-{message_id}",
        at=NOON,
        arrival=arrival,
    )


async def arrivals(store: Store) -> list[tuple[str, str, int | None]]:
    """Every message: its id, its fate, and the order it became."""
    table = tables.arrivals.c
    asked = select(table.message_id, table.fate, table.order_n).order_by(table.message_id)
    return await store.read(lambda work: [tuple(row) for row in work.connection.execute(asked)])


async def counts(store: Store) -> dict[Fate, int]:
    return await store.read(lambda work: work.arrivals.counts("shop"))


async def orders(store: Store) -> int:
    asked = select(tables.orders.c.n)
    return await store.read(lambda work: len(work.connection.execute(asked).all()))


async def test_a_message_and_its_order_are_kept_together(store: Store) -> None:
    lane = store.accepting(Policy())

    accepted = await asyncio.gather(*[lane.accept(a_message(f"A-{n}")) for n in range(9)])

    assert await orders(store) == 9
    found = await arrivals(store)
    assert {(name, fate) for name, fate, _ in found} == {(f"m-A-{n}", "accepted") for n in range(9)}
    assert sorted(n or 0 for *_, n in found) == list(range(1, 10))
    assert not any(one.replayed for one in accepted)
    assert await counts(store) == {Fate.ACCEPTED: 9}


async def test_the_same_message_again_changes_nothing(store: Store) -> None:
    lane = store.accepting(Policy())
    first = await lane.accept(a_message())

    storm = await asyncio.gather(*[lane.accept(a_message()) for _ in range(20)])

    assert {one.order_no for one in storm} == {first.order_no}
    assert all(one.replayed for one in storm)
    assert await counts(store) == {Fate.ACCEPTED: 1}


async def test_a_storm_of_one_message_makes_one_order(store: Store) -> None:
    lane = store.accepting(Policy())

    storm = await asyncio.gather(*[lane.accept(a_message()) for _ in range(20)])

    assert [one.replayed for one in storm].count(False) == 1
    assert await orders(store) == 1


async def test_the_same_order_under_another_id_is_remembered_and_made_once(store: Store) -> None:
    lane = store.accepting(Policy())
    first = await lane.accept(a_message(message_id="m-1"))

    again = await lane.accept(a_message(message_id="m-2"))

    assert again.order_no == first.order_no
    assert again.replayed
    assert await arrivals(store) == [("m-1", "accepted", 1), ("m-2", "again", 1)]
    assert await counts(store) == {Fate.ACCEPTED: 1, Fate.AGAIN: 1}


async def test_an_order_that_came_over_http_is_not_made_again_by_its_message(store: Store) -> None:
    lane = store.accepting(Policy())
    over_http = msgspec.structs.replace(a_message(), arrival=None, key="their-key")
    first = await lane.accept(over_http)

    again = await lane.accept(a_message())

    assert again.order_no == first.order_no
    assert await counts(store) == {Fate.AGAIN: 1}


async def test_an_id_that_comes_with_another_body_is_refused(store: Store) -> None:
    lane = store.accepting(Policy())
    await lane.accept(a_message(message_id="m-1"))

    with pytest.raises(MessageChanged):
        await lane.accept(a_message("A-2", message_id="m-1"))
    with pytest.raises(MessageChanged):  # The order would be the same; the message is not.
        await lane.accept(a_message(message_id="m-1", said=b"other bytes"))

    assert await orders(store) == 1
    assert await arrivals(store) == [("m-1", "accepted", 1)]


async def test_a_number_that_means_another_order_leaves_no_trace_of_its_message(
    store: Store,
) -> None:
    lane = store.accepting(Policy())
    good = lane.accept(a_message(message_id="m-1"))
    bad = lane.accept(a_message(message_id="m-2", note="changed"))

    first, refused = await asyncio.gather(good, bad, return_exceptions=True)

    assert isinstance(refused, ClientRefTaken)
    assert not isinstance(first, BaseException)
    assert await arrivals(store) == [("m-1", "accepted", 1)]  # Whoever sets it aside notes it.


async def test_what_was_put_aside_is_accepted_once_it_is_understood(store: Store) -> None:
    lane, message = store.accepting(Policy()), a_message()
    arrival = message.arrival
    assert arrival is not None
    assert await store.write(lambda work: work.arrivals.note(arrival, Fate.ASIDE, NOON))

    accepted = await lane.accept(message)

    assert not accepted.replayed
    assert await arrivals(store) == [("m-A-1", "accepted", 1)]
    assert await counts(store) == {Fate.ASIDE: 1, Fate.ACCEPTED: 1}


async def test_what_is_known_is_not_noted_again(store: Store) -> None:
    await store.accepting(Policy()).accept(a_message())
    arrival = Arrival("shop", "m-A-1", "0" * 64)

    assert not await store.write(lambda work: work.arrivals.note(arrival, Fate.ASIDE, NOON))

    assert await counts(store) == {Fate.ACCEPTED: 1}


async def test_messages_and_http_share_one_row_of_numbers(store: Store) -> None:
    lane = store.accepting(Policy())
    mixed = [
        a_message(f"A-{n}") if n % 2 else msgspec.structs.replace(a_message(f"A-{n}"), arrival=None)
        for n in range(40)
    ]

    accepted = await asyncio.gather(*map(lane.accept, mixed))

    assert len({one.order_no for one in accepted}) == 40
    assert await counts(store) == {Fate.ACCEPTED: 20}


# --- messages that a look into a database found ---------------------------------------------------


async def leased(store: Store, *, moved: bool = False) -> int:
    """A look begins; later, when ``moved``, a person takes the source a step."""
    state = await store.read(lambda work: work.sources.get("shop"))
    if state.mode is Mode.OFF:
        await store.write(lambda work: step(work, state, Mode.TAP))
    lease = (await store.write(lambda work: work.sources.lease("shop"))).lease_token
    if moved:
        now = await store.read(lambda work: work.sources.get("shop"))
        await store.write(lambda work: step(work, now, Mode.OFF))
    return lease


def step(work: SqlWork, before: SourceState, to: Mode) -> None:
    work.sources.move("shop", before, to, takes=None, by="t", because="t", now=NOON)


def found(submission: Submission, lease_token: int) -> Submission:
    """The same, found by a look."""
    assert submission.arrival is not None
    arrival = msgspec.structs.replace(submission.arrival, lease_token=lease_token)
    return msgspec.structs.replace(submission, arrival=arrival)


async def test_what_the_newest_look_found_is_kept(store: Store) -> None:
    lane, lease = store.accepting(Policy()), await leased(store)

    await asyncio.gather(*[lane.accept(found(a_message(f"A-{n}"), lease)) for n in range(9)])
    again = await lane.accept(found(a_message("A-1", message_id="m-2"), lease))

    assert again.replayed
    assert await counts(store) == {Fate.ACCEPTED: 9, Fate.AGAIN: 1}


@pytest.mark.parametrize("moved", [True, False])
async def test_what_an_older_look_found_is_not_kept_and_nobody_else_suffers(
    store: Store, *, moved: bool
) -> None:
    lane, old = store.accepting(Policy()), await leased(store, moved=moved)
    new = old if moved else await leased(store)
    mixed = [found(a_message(f"A-{n}"), old) if n % 2 else a_message(f"A-{n}") for n in range(8)]
    if not moved:
        mixed += [found(a_message("A-new"), new)]

    outcomes = await asyncio.gather(*map(lane.accept, mixed), return_exceptions=True)

    overtaken = [one for one in outcomes if isinstance(one, BaseException)]
    assert {type(one) for one in overtaken} == {SourceOvertaken}
    assert (len(overtaken), await orders(store)) == (4, len(mixed) - 4)
    assert await counts(store) == {Fate.ACCEPTED: len(mixed) - 4}


async def test_an_older_look_adds_no_name_to_an_order_and_notes_nothing(store: Store) -> None:
    lane, old = store.accepting(Policy()), await leased(store)
    await lane.accept(a_message())
    await leased(store)
    again = found(a_message(message_id="m-2"), old)
    arrival = again.arrival
    assert arrival is not None

    with pytest.raises(SourceOvertaken):
        await lane.accept(again)
    with pytest.raises(SourceOvertaken):
        await store.write(lambda work: work.arrivals.note(arrival, Fate.ASIDE, NOON))

    assert await arrivals(store) == [("m-A-1", "accepted", 1)]
    assert await counts(store) == {Fate.ACCEPTED: 1}
