"""The workshop's own steps: what can be done with a piece, and what is said of it."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.floor.work_order import STEPS, Job, StepRefused, step
from orderkeep.kernel.ids import OrderNo

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON.replace(hour=13)
STATUSES = ("queued", "started", "completed", "packaging", "shipped", "scrapped", "recalled")


def a_job(status: str = "queued", operator: str | None = None) -> Job:
    return Job(
        reference="OK-000013",
        order_no=OrderNo("OK-000013"),
        body_sha256="b" * 64,
        positions=[],
        promise_at=None,
        status=status,
        status_since=NOON,
        seq=3,
        operator=operator,
        created_at=NOON,
    )


POSSIBLE = {
    "start": {"queued": "started"},
    "done": {"started": "completed"},
    "pack": {"completed": "packaging"},
    "ship": {"packaging": "shipped"},
    "hand-back": {"started": "queued"},
    "rework": {"completed": "scrapped", "packaging": "scrapped"},
    "cannot-be-made": {"started": "scrapped"},
    "recall": {"queued": "recalled"},
    "scrap": dict.fromkeys(("queued", "started", "completed", "packaging"), "scrapped"),
}
"""Written out once more: a change of the table is a change of the workshop."""


@pytest.mark.parametrize("action", STEPS)
@pytest.mark.parametrize("status", STATUSES)
def test_each_step_is_possible_where_it_makes_sense_and_nowhere_else(
    action: str, status: str
) -> None:
    job = a_job(status)
    leads_to = POSSIBLE[action].get(status)

    if leads_to:
        moved, word = step(job, action, "oleg", LATER)
        assert (moved.status, moved.status_since, moved.seq) == (leads_to, LATER, 4)
        assert word == STEPS[action][2]
    elif status == STEPS[action][1]:
        assert step(job, action, "oleg", LATER) == (job, None)
    else:
        with pytest.raises(StepRefused) as refusal:
            step(job, action, "oleg", LATER)
        assert refusal.value.facts["status"] == status


def test_whoever_starts_holds_it() -> None:
    moved, _ = step(a_job(), "start", "oleg", LATER)

    assert moved.operator == "oleg"


def test_handed_back_nobody_holds_it() -> None:
    moved, word = step(a_job("started", "oleg"), "hand-back", "oleg", LATER)

    assert (moved.operator, word) == (None, "handed_back")


def test_a_step_without_a_name_keeps_the_holder() -> None:
    moved, _ = step(a_job("started", "oleg"), "done", None, LATER)

    assert moved.operator == "oleg"


@given(actions=st.lists(st.sampled_from(sorted(STEPS)), max_size=30))
def test_everything_said_is_counted_and_the_same_twice_says_nothing(actions: list[str]) -> None:
    job = a_job()
    for action in actions:
        try:
            moved, word = step(job, action, "oleg", LATER)
        except StepRefused:
            continue
        assert moved.seq == job.seq + (word is not None)
        assert step(moved, action, "oleg", LATER) == (moved, None)
        job = moved

    assert job.status in STATUSES


def test_what_is_over_stays_over() -> None:
    for status in ("shipped", "scrapped", "recalled"):
        for action in STEPS:
            try:
                moved, _ = step(a_job(status), action, None, LATER)
            except StepRefused:
                continue
            assert moved == a_job(status)


def test_a_job_survives_being_stored() -> None:
    job = a_job("started", "oleg")

    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job
