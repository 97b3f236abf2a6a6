"""Where orders live is kept by partner and channel, and each order keeps what held at its time."""

import asyncio
from datetime import UTC, datetime

import pytest

from orderkeep.access.keys import Partner
from orderkeep.intake.homes import CHANNEL, PARTNER, HomeRefused, Homes, Moving
from orderkeep.intake.mapping import Source
from orderkeep.intake.modes import Mode, ModeRefused, Takes
from orderkeep.intake.roads import QueueRoad
from orderkeep.intake.taking_over import NoSuchSource, TakingOver
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.orders.home import Home
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHOP = PartnerId("s1")
SOURCES = {"shop": Source("shop", "Web shop", "plain", {}, {}, QueueRoad("x", ("k",), "q"))}


async def a_partner(store: Store) -> None:
    await store.write(lambda work: work.access.add_partner(Partner(SHOP, "Web shop", None, NOON)))


def moving(store: Store) -> Moving:
    return Moving(store, SOURCES, TestClock(NOON))


def taking_over(store: Store) -> TakingOver:
    return TakingOver(store, SOURCES, TestClock(NOON), Ids())


async def test_a_flag_holds_for_its_partner_alone(store: Store) -> None:
    await a_partner(store)
    homes = Homes(store)
    await moving(store).put(PARTNER, "Web shop", Home.MIRRORED, "anna", "first step")
    assert homes.of(SHOP, "api") is Home.MASTERED  # Not read yet.

    await homes.step()

    assert homes.of(SHOP, "api") is Home.MIRRORED
    assert homes.of(PartnerId("other"), "api") is Home.MASTERED


async def test_a_flag_can_be_changed_and_is_in_the_audit(store: Store) -> None:
    for home in (Home.MIRRORED, Home.CO_MASTERED):
        await moving(store).put(CHANNEL, "shop", home, "anna", "a step")

    homes = Homes(store)
    await homes.step()
    assert homes.of(SHOP, "shop") is Home.CO_MASTERED
    audit = "SELECT action, subject FROM audit ORDER BY row"
    told = await store.read(lambda work: work.raw.execute(audit).fetchall())
    assert [tuple(row) for row in told] == [("home.moved", "channel shop")] * 2


async def test_nobody_is_flagged_whom_we_do_not_know(store: Store) -> None:
    with pytest.raises(HomeRefused):
        await moving(store).put(PARTNER, "Nobody", Home.MIRRORED, "anna", "why")


async def test_a_live_source_is_taken_back_before_its_orders_move_home(store: Store) -> None:
    for mode in (Mode.TAP, Mode.SHADOW, Mode.LIVE):
        await taking_over(store).move("shop", mode, "anna", "a step")

    for kind, name in ((PARTNER, "Web shop"), (CHANNEL, "shop")):
        with pytest.raises(HomeRefused, match="live"):
            await moving(store).put(kind, name, Home.MIRRORED, "anna", "why")


@pytest.mark.parametrize(
    "home, takes",
    [
        (Home.MIRRORED, Takes.COPIES),
        (Home.CO_MASTERED, Takes.ORIGINAL),
        (Home.MASTERED, Takes.ORIGINAL),
    ],
)
async def test_what_is_mirrored_is_taken_from_copies(
    home: Home, takes: Takes, store: Store
) -> None:
    """Else the old road would make it as well, or not at all."""
    await moving(store).put(CHANNEL, "shop", home, "anna", "why")
    for mode in (Mode.TAP, Mode.SHADOW):
        await taking_over(store).move("shop", mode, "anna", "a step")

    live = await taking_over(store).move("shop", Mode.LIVE, "anna", "a step")

    assert live.takes is takes
    back = await taking_over(store).move("shop", Mode.BACK, "anna", "a step")
    assert back.takes is takes  # Whoever settles has to know of what.
    assert back.is_settling


async def test_no_step_is_left_out_and_none_is_taken_while_the_way_back_lasts(store: Store) -> None:
    over = taking_over(store)
    with pytest.raises(ModeRefused):
        await over.move("shop", Mode.LIVE, "anna", "at once")
    for mode in (Mode.TAP, Mode.SHADOW, Mode.LIVE, Mode.BACK):
        await over.move("shop", mode, "anna", "a step")

    with pytest.raises(ModeRefused, match="not at its end"):
        await over.move("shop", Mode.OFF, "anna", "at once")
    await store.write(lambda work: work.sources.settle("shop", NOON))

    assert (await over.move("shop", Mode.OFF, "anna", "enough")).mode is Mode.OFF


async def test_a_step_that_is_taken_already_changes_nothing(store: Store) -> None:
    over = taking_over(store)
    first = await over.move("shop", Mode.TAP, "anna", "a step")

    assert await over.move("shop", Mode.TAP, "boris", "me too") == first


async def test_a_source_nobody_configured_goes_nowhere(store: Store) -> None:
    with pytest.raises(NoSuchSource):
        await taking_over(store).move("crm", Mode.TAP, "anna", "a step")


async def test_no_order_moves_home_while_the_way_back_lasts(store: Store) -> None:
    """What comes in on it has left the queue: taken for a copy, it would be made by nobody."""
    over = taking_over(store)
    for mode in (Mode.TAP, Mode.SHADOW, Mode.LIVE, Mode.BACK):
        await over.move("shop", mode, "anna", "a step")
    with pytest.raises(HomeRefused, match="not at its end"):
        await moving(store).put(CHANNEL, "shop", Home.MIRRORED, "anna", "why")

    await store.write(lambda work: work.sources.settle("shop", NOON))

    await moving(store).put(CHANNEL, "shop", Home.MIRRORED, "anna", "why")


async def test_of_going_live_and_moving_home_at_once_each_knows_of_the_other(store: Store) -> None:
    """Copies taken for ours would be made twice, the queue taken for copies by nobody."""
    over = taking_over(store)
    for mode in (Mode.TAP, Mode.SHADOW):
        await over.move("shop", mode, "anna", "a step")
    for _ in range(10):
        await asyncio.gather(
            over.move("shop", Mode.LIVE, "anna", "a step"),
            moving(store).put(CHANNEL, "shop", Home.MIRRORED, "boris", "why"),
            return_exceptions=True,
        )

        live = await store.read(lambda work: work.sources.get("shop"))
        flags = await store.read(lambda work: work.homes.all())
        assert (live.takes is Takes.COPIES) is bool(flags)
        await over.move("shop", Mode.BACK, "anna", "a step")
        await store.write(lambda work: work.sources.settle("shop", NOON))
        await store.write(lambda work: work.raw.execute("DELETE FROM homes") and None)
        await over.move("shop", Mode.SHADOW, "anna", "a step")


async def test_who_has_never_read_the_flags_does_not_begin(store: Store) -> None:
    class Away:
        async def read(self, query: object) -> None:
            raise StoreBusy("as if the database were being restarted")

    with pytest.raises(StoreBusy):
        await Homes(Away()).begin()  # type: ignore[arg-type]  # It is only read.
    assert await Homes(Away()).step() == 0  # type: ignore[arg-type]  # It is only read.
