"""Work orders that stand still, by state and cause."""

from datetime import UTC, datetime, timedelta

from orderkeep.bridge.standing import NAMED, Standing, standing_groups
from orderkeep.kernel.ids import OrderNo, WorkOrderRef

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def standing(n: int, state: str = "uncertain", why: str = "no answer to 3") -> Standing:
    no = f"OK-{n:06d}"
    since = NOON + timedelta(minutes=n)
    return Standing(OrderNo(no), WorkOrderRef(no), state, since, 3, why)


def test_one_state_for_one_cause_is_one_group_whatever_the_numbers() -> None:
    found = [
        standing(2, why="no answer to 5"),
        standing(1),
        standing(3, "rejected", "no metal"),
    ]

    rejected, uncertain = standing_groups(found)

    assert (rejected.state, rejected.count) == ("rejected", 1)
    assert (uncertain.cause, uncertain.count) == ("no answer to …", 2)
    assert [one.order_no for one in uncertain.work_orders] == ["OK-000001", "OK-000002"]
    assert (uncertain.first_at, uncertain.last_at) == (found[1].since, found[0].since)


def test_all_are_counted_and_the_longest_waiting_are_named() -> None:
    [group] = standing_groups([standing(n) for n in range(50)])

    assert group.count == 50
    assert [one.order_no for one in group.work_orders] == [f"OK-{n:06d}" for n in range(NAMED)]
