"""Work orders that stand still on their way to a foreign system until a person decides.

They are shown beside the dead letters, since both wait for the same people; what is decided about
one is decided on its order.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from orderkeep.delivery.dead_letters import cause_of
from orderkeep.kernel.ids import OrderNo, WorkOrderRef

NAMED = 20
"""Work orders of a group that are named; all are counted."""


class Standing(msgspec.Struct, frozen=True):
    """A work order that goes no further by itself.

    ``state``: ``uncertain rejected dead recalled diverged``; ``why`` is the bridge's own sentence.
    """

    order_no: OrderNo
    reference: WorkOrderRef
    state: str
    since: datetime
    attempts: int
    why: str


class StandingGroup(msgspec.Struct, frozen=True):
    """Work orders that stand still for one reason, the longest waiting first."""

    state: str
    cause: str
    count: int
    first_at: datetime
    last_at: datetime
    work_orders: Sequence[Standing]


def standing_groups(found: Iterable[Standing]) -> list[StandingGroup]:
    """Groups by state and cause, the one that grew last first."""
    members: dict[tuple[str, str], list[Standing]] = {}
    for one in sorted(found, key=lambda one: one.since):
        members.setdefault((one.state, cause_of(one.why)), []).append(one)
    groups = [_group(state, cause, some) for (state, cause), some in members.items()]
    return sorted(groups, key=lambda group: group.last_at, reverse=True)


def _group(state: str, cause: str, some: Sequence[Standing]) -> StandingGroup:
    return StandingGroup(state, cause, len(some), some[0].since, some[-1].since, some[:NAMED])
