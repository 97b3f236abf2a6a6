"""Every store keeps how a foreign system is doing, who paused it, and how far was read."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from orderkeep.adapters.sql.tables import audit
from orderkeep.bridge.destinations import Condition
from orderkeep.bridge.pace import TRIP, Bounds, Pace, begin, unanswered
from orderkeep.bridge.pausing import NoSuchDestination, Pausing, Terms
from orderkeep.bridge.windows import Maintenance, read_windows
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOUNDS = Bounds(most=8, rest=timedelta(seconds=5))
TERMS = {"mes": Terms(BOUNDS, title="MES"), "crm": Terms(BOUNDS)}


@pytest.fixture
def pausing(store: Store) -> Pausing:
    return Pausing(store, TestClock(NOON), TERMS)


def away() -> Pace:
    pace = begin(BOUNDS)
    for _ in range(TRIP):
        pace = unanswered(pace, BOUNDS, NOON, NOON, "timeout")
    return pace


def conditions(runner: asyncio.Runner, pausing: Pausing) -> dict[str, Condition]:
    return {one.name: one.state.condition for one in runner.run(pausing.all())}


def test_a_pace_is_kept_only_by_whoever_has_read_the_newest(
    store: Store, runner: asyncio.Runner
) -> None:
    first = runner.run(store.write(lambda work: work.destinations.keep_pace("mes", away(), 0)))
    late = runner.run(
        store.write(lambda work: work.destinations.keep_pace("mes", begin(BOUNDS), 0))
    )

    row = runner.run(store.read(lambda work: work.destinations.get("mes")))
    assert (first, late) == (True, False)
    assert (row.version, row.pace) == (1, away())


def test_a_person_pauses_one_destination_and_it_stays_so(
    store: Store, pausing: Pausing, runner: asyncio.Runner
) -> None:
    runner.run(pausing.pause("mes", "person:hanna", "stocktaking"))
    runner.run(pausing.pause("mes", "person:olga", "me too"))

    again = Pausing(store, TestClock(NOON), TERMS)
    shown = {one.name: one.state for one in runner.run(again.all())}
    assert shown["crm"].condition is Condition.OPEN
    assert shown["mes"].condition is Condition.PAUSED
    assert (shown["mes"].by, shown["mes"].why) == ("person:hanna", "stocktaking")
    assert shown["mes"].since == NOON


def test_whoever_resumes_lets_it_in_slowly_and_forgets_the_breaker(
    store: Store, pausing: Pausing, runner: asyncio.Runner
) -> None:
    runner.run(store.write(lambda work: work.destinations.keep_pace("mes", away(), 0)))
    assert conditions(runner, pausing)["mes"] is Condition.AWAY
    runner.run(pausing.pause("mes", "person:hanna", "it is broken"))

    runner.run(pausing.resume("mes", "person:hanna", "it works again"))

    row = runner.run(store.read(lambda work: work.destinations.get("mes")))
    assert row.pace is not None
    assert (row.version, row.pace.width, row.paused) == (2, 1.0, None)
    assert conditions(runner, pausing)["mes"] is Condition.RAMPING


def test_each_pause_is_in_the_audit_once(
    store: Store, pausing: Pausing, runner: asyncio.Runner
) -> None:
    for _ in range(2):
        runner.run(pausing.pause("mes", "person:hanna", "stocktaking"))
    for _ in range(2):
        runner.run(pausing.resume("mes", "person:hanna", "done"))

    def told(work: Any) -> list[Any]:
        return list(
            work.connection.execute(
                select(audit.c.actor, audit.c.action, audit.c.subject, audit.c.detail)
            )
        )

    assert runner.run(store.read(told)) == [
        ("person:hanna", "destination.paused", "mes", "stocktaking"),
        ("person:hanna", "destination.resumed", "mes", "done"),
    ]


def test_a_maintenance_window_is_shown_until_its_end(store: Store, runner: asyncio.Runner) -> None:
    terms = Terms(BOUNDS, Maintenance(read_windows("11:30-12:30")))

    [shown] = runner.run(Pausing(store, TestClock(NOON), {"mes": terms}).all())

    assert shown.state.condition is Condition.MAINTENANCE
    assert shown.state.until == NOON + timedelta(minutes=30)


def test_a_name_nobody_knows_is_refused(pausing: Pausing, runner: asyncio.Runner) -> None:
    with pytest.raises(NoSuchDestination):
        runner.run(pausing.pause("erp", "person:hanna", "why not"))


def test_a_cursor_moves_on_only_from_where_it_was_read(
    store: Store, runner: asyncio.Runner
) -> None:
    def move(to: str, before: str | None) -> bool:
        return runner.run(
            store.write(lambda work: work.destinations.keep_cursor("mes", to, before))
        )

    assert [move("10", None), move("12", None), move("12", "10")] == [True, False, True]
