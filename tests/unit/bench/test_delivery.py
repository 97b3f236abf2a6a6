"""What the benchmarks of delivery make of what they counted."""

from typing import Any

import pytest

from orderkeep.bench.comparison import (
    CELERY,
    EMBEDDED,
    NAIVE,
    RABBITMQ,
    DeliveryReport,
    Figures,
    Line,
    Promise,
    costs,
    middle,
    promises,
)
from orderkeep.bench.faults import FaultReport, Outcome
from orderkeep.bench.pipelines.lines import Setup
from orderkeep.bench.tables import delivery_table, faults_table


def figures(accepted: float = 1000, p50_ms: float = 4.0, **others: Any) -> Figures:
    usual: dict[str, Any] = {
        "delivered_per_s": 900.0,
        "accept_p50_ms": 1.0,
        "accept_p99_ms": 9.0,
        "delivery_p99_ms": 20.0,
    }
    return Figures(accepted_per_s=accepted, delivery_p50_ms=p50_ms, **{**usual, **others})


def named(found: list[Promise], name: str) -> Promise:
    [one] = [promise for promise in found if promise.name == name]
    return one


def test_the_middle_round_counts_and_what_went_wrong_in_any_is_added_up() -> None:
    rounds = [figures(100, lost=1), figures(3, doubled=2), figures(110, errors=4)]

    found = middle(rounds)

    assert found.accepted_per_s == 100
    assert (found.lost, found.doubled, found.errors) == (1, 2, 4)


@pytest.mark.parametrize("accepted, met", [(2999, False), (3000, True)])
def test_three_times_naives_accepts_are_promised(accepted: float, met: bool) -> None:  # noqa: FBT001
    found = promises({EMBEDDED: figures(accepted), NAIVE: figures(1000)})

    assert named(found, f"{EMBEDDED} / {NAIVE}: accepted").met is met


@pytest.mark.parametrize("theirs_ms, met", [(19.9, False), (20.0, True)])
def test_nobodys_p99_may_be_better_than_ours(theirs_ms: float, met: bool) -> None:  # noqa: FBT001
    found = promises({RABBITMQ: figures(), CELERY: figures(delivery_p99_ms=theirs_ms)})

    assert named(found, f"{CELERY} / {RABBITMQ}: delivery p99").met is met


@pytest.mark.parametrize("p50_ms, met", [(5.0, True), (5.1, False)])
def test_a_moderate_pace_has_a_bound_in_milliseconds(p50_ms: float, met: bool) -> None:  # noqa: FBT001
    found = promises({RABBITMQ: figures(p50_ms=p50_ms)})

    assert named(found, f"{RABBITMQ}: delivery p50 ms").met is met
    assert named(found, f"{RABBITMQ}: delivery p99 ms").met


def test_what_safety_costs_is_told_beside_naive_only() -> None:
    assert costs({EMBEDDED: figures(p50_ms=6.5), NAIVE: figures(p50_ms=2.0)}) == {EMBEDDED: 4.5}
    assert costs({EMBEDDED: figures()}) == {}


def test_a_missed_promise_and_a_missing_peer_stand_in_the_table() -> None:
    report = DeliveryReport(
        clients=64,
        orders=2000,
        per_s=200.0,
        lines=[Line(EMBEDDED, figures())],
        promises=[Promise(f"{EMBEDDED}: delivery p50 ms", 6.0, 5.0, met=False, most=True)],
        costs_ms={EMBEDDED: 4.5},
        left_out={CELERY: "not installed"},
    )

    table = delivery_table(report)

    assert "| ours, embedded | 1,000 | 900 | 1.0 / 9.0 | 4.0 / 20.0 |" in table
    assert "| ours, embedded: delivery p50 ms | ≤ 5 | 6 | **missed** |" in table
    assert "Left out: Celery: not installed" in table


def test_what_was_lost_in_silence_is_told_apart_from_what_was_shown() -> None:
    lost = Outcome("naive", "broker kill -9", 2000, 1100, 2000, 1400, 300, 7)
    kept = Outcome(RABBITMQ, "broker kill -9", 2000, 0, 2000, 0, 0, 0)

    table = faults_table(FaultReport(2000, 400.0, 25.0, 8, [lost, kept], kept_promise=True))

    assert "| broker kill -9 | **1,400** (300 / 1,100), 7, 1,100 | 0, 0, 0 |" in table


def test_what_was_under_way_at_a_kill_is_told_beside_what_it_lost() -> None:
    killed = Outcome("careful", "API kill -9 x5", 2000, 40, 1965, 5, 0, 0, under_way=8)

    table = faults_table(FaultReport(2000, 400.0, 25.0, 8, [killed], kept_promise=True))

    assert "| API kill -9 x5 | **5** (0 / 5), 0, 40, 8 under way |" in table


def test_what_a_process_is_told_survives_the_command_line() -> None:
    setup = Setup(8000, "postgresql://a@b/c", "postgresql://a@b/d", "", work_ms=2.5)

    assert Setup.read(setup.said()) == setup
