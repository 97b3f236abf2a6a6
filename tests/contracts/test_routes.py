"""A consumer that is new misses nothing of what was carried before it was there."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from orderkeep.adapters.sql.tally import tally
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.search import Search
from orderkeep.delivery.tally import Between, Flow, Tally
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KIND = "price.wanted"
ALONE = {KIND: ("quoting",)}
WITH_CRM = {KIND: ("quoting", "crm"), "order.changed": ("crm",)}

Routes = Mapping[str, Sequence[str]]


async def remember(store: Store, routes: Routes, now: datetime) -> None:
    await store.write(lambda work: work.routes.remember(routes, now))


async def since(store: Store) -> Mapping[tuple[str, str], datetime]:
    return await store.read(lambda work: work.routes.since())


async def carry(store: Store, name: str, now: datetime, received_by: Sequence[str] = ()) -> None:
    """Post and carry an envelope; whoever is not named has lost it."""
    await store.write(lambda work: work.outbox.post([an_envelope(name)]))
    leased = await store.write(lambda work: work.outbox.lease(now, now + MINUTE, 10))
    await store.write(lambda work: work.outbox.sent(leased, now))

    await receive(store, name, now, *received_by)


async def receive(store: Store, name: str, now: datetime, *consumers: str) -> None:
    def keep(work: SqlWork) -> None:
        for consumer in consumers:
            work.inbox.receive(consumer, [an_envelope(name)], now)

    await store.write(keep)


def an_envelope(name: str) -> Envelope:
    return Envelope(EnvelopeId(name), KIND, 1, name, NOON, "t", b"{}")


async def counted(store: Store, routes: Routes, at_broker: Between | None = None) -> Tally:
    later = NOON + timedelta(hours=2)
    return await store.read(lambda work: tally(work, routes, 1000, later, at_broker))


async def sent_again(store: Store, routes: Routes) -> list[str]:
    async def quiet() -> bool:
        return True

    await Search(store, routes, quiet, TestClock(NOON + timedelta(hours=2))).step()
    unsent = "SELECT id FROM outbox WHERE sent_at IS NULL ORDER BY row"
    rows = await store.read(lambda work: work.raw.execute(unsent).fetchall())
    return [id_ for (id_,) in rows]


async def test_what_was_carried_before_a_consumer_was_there_is_not_missing(store: Store) -> None:
    await remember(store, ALONE, NOON)
    await carry(store, "before", NOON + MINUTE, ["quoting"])
    await remember(store, WITH_CRM, NOON + 2 * MINUTE)
    await carry(store, "at once", NOON + 2 * MINUTE, ["quoting", "crm"])
    await carry(store, "lost", NOON + 3 * MINUTE, ["quoting"])

    found = await counted(store, WITH_CRM)

    assert [one.id for one in found.overdue] == ["lost"]
    assert found.flows == [
        Flow("crm", published=2, handled=0, parked=0, waiting=1, under_way=1, late=1,
             overdue=tuple(found.overdue)),
        Flow("quoting", published=3, handled=0, parked=0, waiting=3, under_way=0),
    ]  # fmt: skip
    assert await sent_again(store, WITH_CRM) == ["lost"]


async def test_what_an_older_consumer_has_lost_is_missing_still(store: Store) -> None:
    await remember(store, ALONE, NOON)
    await carry(store, "lost", NOON + MINUTE)
    await remember(store, WITH_CRM, NOON + 2 * MINUTE)

    found = await counted(store, WITH_CRM)

    assert [one.id for one in found.overdue] == ["lost"]
    assert [one.published for one in found.flows] == [0, 1]
    assert await sent_again(store, WITH_CRM) == ["lost"]


async def test_the_broker_owes_what_came_before_it_was_counted_and_was_not_received_by_then(
    store: Store,
) -> None:
    seen = Between(NOON + 2 * MINUTE, NOON + 3 * MINUTE)
    await carry(store, "received before", NOON, ["quoting"])
    await carry(store, "there", NOON)
    await carry(store, "came meanwhile", NOON + 2 * MINUTE)
    await carry(store, "there and received since", NOON + MINUTE)
    await receive(store, "there and received since", NOON + 4 * MINUTE, "quoting")
    await carry(store, "received meanwhile", NOON + MINUTE)
    await receive(store, "received meanwhile", seen.until, "quoting")

    [flow] = (await counted(store, ALONE, seen)).flows

    assert (flow.owed, flow.under_way, flow.late) == (2, 2, 2)
    assert (await counted(store, ALONE)).flows[0].owed == 0


async def test_a_route_that_is_taken_away_and_added_again_begins_anew(store: Store) -> None:
    await remember(store, WITH_CRM, NOON)
    await carry(store, "before", NOON, ["quoting"])
    await remember(store, ALONE, NOON + MINUTE)
    await carry(store, "between", NOON + 2 * MINUTE, ["quoting"])
    await remember(store, WITH_CRM, NOON + 3 * MINUTE)

    assert (await since(store))[KIND, "crm"] == NOON + 3 * MINUTE
    assert (await counted(store, WITH_CRM)).overdue == []
    assert await sent_again(store, WITH_CRM) == []


async def test_a_route_that_nobody_remembers_has_always_been(store: Store) -> None:
    await carry(store, "lost", NOON)

    assert [one.id for one in (await counted(store, ALONE)).overdue] == ["lost"]
    assert await sent_again(store, ALONE) == ["lost"]


async def test_the_first_routes_have_always_been(store: Store) -> None:
    await carry(store, "lost", NOON)

    await remember(store, ALONE, NOON + MINUTE)

    assert [one.id for one in (await counted(store, ALONE)).overdue] == ["lost"]
    assert await sent_again(store, ALONE) == ["lost"]


async def test_a_route_keeps_its_beginning_whoever_starts_again(store: Store) -> None:
    await remember(store, ALONE, NOON)
    await remember(store, WITH_CRM, NOON + MINUTE)
    before = await since(store)

    await remember(store, WITH_CRM, NOON + 2 * MINUTE)

    assert await since(store) == before
    assert before[KIND, "crm"] == NOON + MINUTE


async def test_a_route_does_not_begin_later_than_now(store: Store) -> None:
    """The clock was set back: what is carried until it has caught up has to be looked for."""
    await remember(store, ALONE, NOON)
    await remember(store, WITH_CRM, NOON + timedelta(hours=1))

    await remember(store, WITH_CRM, NOON)

    assert (await since(store))[KIND, "crm"] == NOON
