"""How many messages the broker has already thrown away, by its own counters."""

import re
from collections import Counter
from collections.abc import Mapping

import msgspec

from orderkeep.doctor.look import Look
from orderkeep.doctor.rules.publishers import unrouted

DEAD_LETTERED = re.compile(
    r"rabbitmq_global_messages_dead_lettered_(\w+)_total\{.*dead_letter_strategy=\"disabled\".*\}"
)
DROPPED = "rabbitmq_global_messages_unroutable_dropped_total"


class Losses(msgspec.Struct, frozen=True):
    """Messages lost since the broker's nodes started.

    ``total`` is None when nothing could be counted. ``exact`` is false when it is only a lower
    bound. ``by`` says how they were lost. ``unproved`` is how many left without an
    acknowledgement: each of them is lost if its receiver was not well.
    """

    total: int | None
    exact: bool
    by: dict[str, int]
    source: str
    unproved: int


def losses(look: Look) -> Losses:
    """Count from the Prometheus endpoint where it answered, else from what management shows."""
    unproved = sum(
        one.message_stats.deliver_no_ack + one.message_stats.get_no_ack for one in look.now.queues
    )
    if look.snapshot.metrics is not None:
        by = _by_reason(look.snapshot.metrics)
        exact = look.snapshot.metrics_nodes >= len(look.now.nodes) or len(look.now.nodes) == 0
        return Losses(sum(by.values()), exact, by, "prometheus", unproved)
    stats = look.now.overview.message_stats
    # What was returned to its publisher also went to no queue, but is not the broker's doing.
    seen = sum(lost for _, lost in unrouted(look)) - stats.return_unroutable
    dropped = max(stats.drop_unroutable, seen, 0)
    readable = bool(look.now.exchanges)
    by = {"unroutable": dropped} if dropped else {}
    return Losses(dropped if readable else None, False, by, "management", unproved)


def _by_reason(metrics: Mapping[str, float]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, value in metrics.items():
        found = DEAD_LETTERED.fullmatch(name)
        if found:
            sums[found[1]] += round(value)
        elif name.partition("{")[0] == DROPPED:
            sums["unroutable"] += round(value)
    return {reason: count for reason, count in sorted(sums.items()) if count}
