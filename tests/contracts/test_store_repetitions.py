"""What comes again among what is new: the store takes all for new until a unique index says no."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake.ports import ClientRefTaken, KeyReused, Submission
from orderkeep.kernel.ids import PartnerId, order_no
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.order import Position
from orderkeep.orders.policy import Policy
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PARTNER = PartnerId("p1")
CAUSE = Cause(Actor(ActorKind.PARTNER, PARTNER), "accept", "door", "0" * 32)


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    def add_partner(work: SqlWork) -> None:
        partner = {"id": PARTNER, "name": "Partner", "created_at": NOON}
        work.connection.execute(insert(tables.partners), partner)

    runner.run(store.write(add_partner))
    return store


def a_submission(ref: str, key: str | None = None, note: str = "") -> Submission:
    body = f'{{"client_ref":"{ref}","note":"{note}"}}'.encode()
    sha256 = hashlib.sha256(body).hexdigest()
    event = OrderSubmitted(
        channel="api",
        positions=[Position(1, 2, material="ag925")],
        body_sha256=sha256,
        promise_at=NOON + timedelta(days=21),
        partner_id=PARTNER,
        client_ref=ref,
    )
    key = key or f"key-{ref}"
    return Submission(PARTNER, ref, key, body, sha256, event, CAUSE, f"env-{ref}-{key}", NOON)


async def test_repetitions_among_new_orders_get_the_first_answer(store: Store) -> None:
    lane = store.accepting(Policy())
    first = await asyncio.gather(*[lane.accept(a_submission(f"A-{i}")) for i in range(9)])

    for round_ in range(3):
        fresh = [a_submission(f"{round_}-{i}") for i in range(9)]
        mixed = [one for i, new in enumerate(fresh) for one in (new, a_submission(f"A-{i}"))]
        answers = await asyncio.gather(*map(lane.accept, mixed))

        assert [one.order_no for one in answers[1::2]] == [one.order_no for one in first]
        assert [one.replayed for one in answers] == [False, True] * 9


async def test_numbers_stay_without_a_gap_where_something_came_again(store: Store) -> None:
    lane = store.accepting(Policy())

    for round_ in range(3):
        both = [a_submission(f"A-{round_}"), a_submission("A-0")]
        await asyncio.gather(*map(lane.accept, both))
    last = await lane.accept(a_submission("B-1"))

    assert last.order_no == order_no(4)


async def test_what_is_refused_in_one_commit_is_refused_alone(store: Store) -> None:
    lane = store.accepting(Policy())
    kept = await lane.accept(a_submission("A-1", "k1"))

    new, reused, taken, second = await asyncio.gather(
        lane.accept(a_submission("A-2", "k2")),
        lane.accept(a_submission("A-3", "k1")),
        lane.accept(a_submission("A-1", "k3", note="changed")),
        lane.accept(a_submission("A-1", "k4")),
        return_exceptions=True,
    )

    assert not isinstance(new, BaseException)
    assert not new.replayed
    assert isinstance(reused, KeyReused)
    assert isinstance(taken, ClientRefTaken)
    assert taken.facts["order_no"] == kept.order_no
    assert not isinstance(second, BaseException)
    assert (second.order_no, second.replayed) == (kept.order_no, True)


async def test_a_key_that_means_an_order_gives_no_new_one_its_place(store: Store) -> None:
    """The client's number is new, only the key is known: the order's row alone would be kept."""
    lane = store.accepting(Policy())
    await lane.accept(a_submission("A-1", "k1"))

    with pytest.raises(KeyReused):
        await lane.accept(a_submission("A-2", "k1"))
    found = await store.read(
        lambda work: work.raw.execute("SELECT client_ref FROM orders ORDER BY n").fetchall()
    )

    assert [tuple(row) for row in found] == [("A-1",)]
