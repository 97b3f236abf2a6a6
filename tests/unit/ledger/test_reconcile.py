"""What the MES shows against what we say: every difference has one name, and silence has none."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from orderkeep.bridge.hearing import WORDS
from orderkeep.bridge.ports import MesJob
from orderkeep.ledger.reconcile import (
    Decision,
    Found,
    Kind,
    Ours,
    Repair,
    Ways,
    compare,
    repaired_by,
)
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.orders import DAY, HOUR, NOON

LAG = timedelta(seconds=10)
WAYS = Ways(LAG, {**dict(WORDS), "casting": "started"})
SENT = Ours("OK-000013", "OK-000013", Delivered.APPLIED, NOON, Stage.MANUFACTURING_APPROVED, NOON)
LATER = NOON + HOUR


def job(status: str | None = "accepted", mes_id: str = "M1") -> MesJob:
    return MesJob(mes_id, SENT.reference, status)


def found(ours: Ours | None, *jobs: MesJob, after: timedelta = HOUR) -> Found | None:
    return compare(ours, jobs, NOON + after, WAYS, NOON + after)


RECALLED = replace(SENT, state=Delivered.RECALLED)
PENDING = replace(SENT, state=Delivered.PENDING)
MAKING = replace(SENT, stage=Stage.MANUFACTURING_STARTED)
CLOSED = replace(SENT, stage=Stage.CLOSED)


@pytest.mark.parametrize(
    "ours, jobs, kind, repairs",
    [
        # Nothing to say.
        (SENT, [job()], None, []),
        (SENT, [job(None)], None, []),
        (MAKING, [job("casting")], None, []),
        (None, [], None, []),
        (None, [job("cancelled")], None, []),
        (RECALLED, [job("recalled")], None, []),
        (RECALLED, [], None, []),
        (PENDING, [], None, []),
        (CLOSED, [], None, []),
        (replace(SENT, state=Delivered.UNCERTAIN), [job()], None, []),
        (replace(SENT, state=Delivered.UNCERTAIN), [], None, []),
        (replace(SENT, state=Delivered.SENDING), [job()], None, []),
        # Missing here: nobody of us asked for it.
        (None, [job()], Kind.MISSING_HERE, []),
        (replace(PENDING, ever_sent=False), [job()], Kind.MISSING_HERE, []),
        # Missing there.
        (SENT, [], Kind.MISSING_THERE, [Decision.RESEND]),
        (replace(SENT, wanted_back=True), [], Kind.MISSING_THERE, []),
        (MAKING, [], Kind.MISSING_THERE, []),
        # Differs.
        (SENT, [job(), job(mes_id="M2")], Kind.DIFFERS, []),
        (None, [job(), job(mes_id="M2")], Kind.DIFFERS, []),
        (SENT, [job(), job("recalled", "M2")], None, []),
        (SENT, [job("casting")], Kind.DIFFERS, [Decision.ADOPT]),
        (SENT, [job("shipped")], Kind.DIFFERS, [Decision.ADOPT]),
        (SENT, [job("recalled")], Kind.DIFFERS, [Decision.ADOPT]),
        (MAKING, [job("accepted")], Kind.DIFFERS, []),
        (SENT, [job("melted")], Kind.DIFFERS, []),
        (RECALLED, [job()], Kind.DIFFERS, []),
        (PENDING, [job()], Kind.DIFFERS, []),
        (replace(SENT, state=Delivered.DEAD), [job()], Kind.DIFFERS, []),
        (replace(SENT, current=False), [job()], Kind.DIFFERS, []),
    ],
)
def test_both_sides_are_compared(
    ours: Ours | None, jobs: list[MesJob], kind: Kind | None, repairs: list[Decision]
) -> None:
    one = found(ours, *jobs)

    assert (one and one.kind) == kind
    assert list(one.repairs if one else []) == repairs


def test_what_is_newer_than_the_visibility_lag_is_not_missing() -> None:
    assert found(SENT, after=LAG - timedelta(milliseconds=1)) is None
    assert found(SENT, after=LAG) is not None


def test_what_has_changed_since_the_question_is_left_for_the_next_pass() -> None:
    moved = replace(MAKING, stage_since=LATER)

    assert compare(moved, [job("accepted")], LATER - LAG, WAYS, LATER) is None
    assert compare(moved, [job("accepted")], LATER, WAYS, LATER) is not None


def test_what_stands_too_long_is_stuck_until_it_is_shipped() -> None:
    assert found(MAKING, job("casting"), after=3 * DAY - HOUR) is None
    one = found(MAKING, job("casting"), after=3 * DAY)
    assert one is not None
    assert one.kind is Kind.STUCK
    shipped = replace(SENT, stage=Stage.SHIPPED)
    assert found(shipped, job("shipped"), after=30 * DAY) is None


@pytest.mark.parametrize(
    "ours, jobs, policy, decision",
    [
        (SENT, [], {}, None),
        (SENT, [], {Kind.MISSING_THERE: Repair.REPORT}, None),
        (SENT, [], {Kind.MISSING_THERE: Repair.RESEND}, Decision.RESEND),
        (MAKING, [], {Kind.MISSING_THERE: Repair.RESEND}, None),
        (SENT, [job("shipped")], {Kind.DIFFERS: Repair.ADOPT}, Decision.ADOPT),
        (MAKING, [job("accepted")], {Kind.DIFFERS: Repair.ADOPT}, None),
        (SENT, [job("shipped")], {Kind.MISSING_THERE: Repair.RESEND}, None),
    ],
)
def test_the_policy_repairs_only_what_is_safe(
    ours: Ours, jobs: list[MesJob], policy: Mapping[Kind, Repair], decision: Decision | None
) -> None:
    one = found(ours, *jobs)

    assert one is not None
    assert repaired_by(one, policy) is decision
