"""What a comparison of deliveries comes to: medians, promises, and what safety costs."""

from collections.abc import Sequence
from statistics import median

import msgspec

NAIVE, CELERY, DBOS, PGQUEUER = "naive", "Celery", "DBOS", "PgQueuer"
EMBEDDED, RABBITMQ = "ours, embedded", "ours, RabbitMQ"
OURS = (EMBEDDED, RABBITMQ)
OTHERS = (CELERY, DBOS, PGQUEUER)
ACCEPTED_OF_NAIVE, DELIVERED_OF_NAIVE = 3.0, 1.0
P50_MS, P99_MS = 5.0, 30.0


class Figures(msgspec.Struct, frozen=True):
    """One pipeline: flat out, and at a moderate pace; the median of the rounds."""

    accepted_per_s: float
    delivered_per_s: float
    accept_p50_ms: float
    accept_p99_ms: float
    delivery_p50_ms: float
    delivery_p99_ms: float
    errors: int = 0
    lost: int = 0
    doubled: int = 0


class Line(msgspec.Struct, frozen=True):
    """A pipeline and what it did."""

    pipeline: str
    figures: Figures


class Promise(msgspec.Struct, frozen=True):
    """A figure that was promised; ``target`` is the least, or with ``most`` the greatest."""

    name: str
    value: float
    target: float
    met: bool
    most: bool = False


class DeliveryReport(msgspec.Struct, frozen=True):
    """What ``bench delivery`` prints."""

    clients: int
    orders: int
    per_s: float
    lines: list[Line]
    promises: list[Promise]
    costs_ms: dict[str, float]
    """What our safety costs at the moderate pace: delivery p50 beside naive's."""
    left_out: dict[str, str]


def middle(rounds: Sequence[Figures]) -> Figures:
    """Field by field the median of the rounds; what went wrong is added up."""
    sums = ("errors", "lost", "doubled")
    fields = Figures.__struct_fields__
    return Figures(
        **{
            name: (sum if name in sums else median)([getattr(one, name) for one in rounds])
            for name in fields
        }
    )


def promises(figures: dict[str, Figures]) -> list[Promise]:
    """What is promised of ours, beside others and in milliseconds."""
    found: list[Promise] = []
    for ours in (name for name in OURS if name in figures):
        mine = figures[ours]
        found += [
            _at_most(f"{ours}: delivery p50 ms", mine.delivery_p50_ms, P50_MS),
            _at_most(f"{ours}: delivery p99 ms", mine.delivery_p99_ms, P99_MS),
        ]
        for other in (name for name in OTHERS if name in figures):
            theirs = figures[other]
            found += [
                _at_least(f"{ours} / {other}: accepted", mine, theirs, "accepted_per_s", 1.0),
                _at_least(f"{ours} / {other}: delivered", mine, theirs, "delivered_per_s", 1.0),
                _at_least(f"{other} / {ours}: delivery p99", theirs, mine, "delivery_p99_ms", 1.0),
            ]
        if naive := figures.get(NAIVE):
            least = {"accepted": ACCEPTED_OF_NAIVE, "delivered": DELIVERED_OF_NAIVE}
            found += [
                _at_least(f"{ours} / {NAIVE}: {what}", mine, naive, f"{what}_per_s", target)
                for what, target in least.items()
            ]
    return found


def _at_least(name: str, one: Figures, other: Figures, of: str, target: float) -> Promise:
    value = getattr(one, of) / getattr(other, of)
    return Promise(name, round(value, 2), target, value >= target)


def _at_most(name: str, value: float, target: float) -> Promise:
    return Promise(name, value, target, value <= target, most=True)


def costs(figures: dict[str, Figures]) -> dict[str, float]:
    """How much later than naive's an order of ours is at the MES, in the middle."""
    naive = figures.get(NAIVE)
    if naive is None:
        return {}
    return {
        ours: round(figures[ours].delivery_p50_ms - naive.delivery_p50_ms, 2)
        for ours in OURS
        if ours in figures
    }
