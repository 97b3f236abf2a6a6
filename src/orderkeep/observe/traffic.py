"""What went over the transport since the process started: how much, what became of it, how long."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

from orderkeep.observe.numbers import Family, Number


class Passed(StrEnum):
    """What may happen to an envelope on its way.

    On the way in every ``published`` one becomes exactly one of ``confirmed``, ``returned``,
    ``nacked`` and ``unconfirmed``; on the way out every ``delivered`` one is ``received``, or one
    of the ``duplicates``, or ``quarantined``, or ``buried`` (it came as the broker's dead letter),
    or could not be kept and comes again. A ``received`` one is in the end ``handled`` or
    ``parked``; ``failed`` counts the tries that will be repeated.
    """

    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    RETURNED = "returned"
    NACKED = "nacked"
    UNCONFIRMED = "unconfirmed"
    DELIVERED = "delivered"
    REDELIVERED = "redelivered"
    RECEIVED = "received"
    DUPLICATES = "duplicates"
    QUARANTINED = "quarantined"
    BURIED = "buried"
    HANDLED = "handled"
    FAILED = "failed"
    PARKED = "parked"


class Hop(StrEnum):
    """A stretch of an envelope's way that takes time."""

    PUBLISH = "publish"
    """From saved to handed over to the transport."""
    CONFIRM = "confirm"
    """From handed over to answered."""
    RECEIVE = "receive"
    """From saved to kept by a receiver."""
    HANDLE = "handle"
    """From saved to its effect on disk."""


# Milliseconds while all is well, an hour when a broker was away.
_MILLISECONDS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
BOUNDS_S = (*(n / 1000 for n in _MILLISECONDS), 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0)


class Times:
    """A histogram: how many took how long, and the sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Another one; a clock that was set back makes none shorter than nothing."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += max(0.0, seconds)

    def up_to(self) -> Sequence[tuple[str, int]]:
        """How many took at most each bound, as Prometheus wants it."""
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        sums, so_far = [], 0
        for count in self._counts:
            so_far += count
            sums.append(so_far)
        return list(zip(bounds, sums, strict=True))


class Traffic:
    """Counts and times.

    ``place`` is the envelope's kind where it is published and where it has its effect, and the
    consumer where it is delivered.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[Passed, str]] = Counter()
        self._times: dict[tuple[Hop, str], Times] = {}

    def count(self, passed: Passed, place: str, number: int = 1) -> None:
        """Add to a count."""
        if number:
            self._counts[passed, place] += number

    def took(self, hop: Hop, kind: str, seconds: float) -> None:
        """An envelope of a kind has covered a stretch."""
        self._times.setdefault((hop, kind), Times()).add(seconds)

    def total(self, passed: Passed) -> int:
        """The sum over all places."""
        return sum(number for (what, _), number in self._counts.items() if what is passed)

    def rows(self) -> Iterator[tuple[Passed, str, int]]:
        """Every count by what happened and place, in a stable order."""
        for (passed, place), number in sorted(self._counts.items()):
            yield passed, place, number

    def times(self) -> Iterator[tuple[Hop, str, Times]]:
        """Every histogram by hop and kind, in a stable order."""
        for (hop, kind), times in sorted(self._times.items(), key=lambda one: one[0]):
            yield hop, kind, times

    def families(self) -> Iterator[Family]:
        """All of it, for whoever watches us."""
        passed = [
            Number(f"{_ENVELOPES}_total", {"what": what, "place": place}, number)
            for what, place, number in self.rows()
        ]
        yield Family(_ENVELOPES, "Envelopes by what happened to them", "counter", passed)
        took = [number for row in self.times() for number in _lines(*row)]
        yield Family(_HOPS, "How long envelopes took, hop by hop", "histogram", took)


_ENVELOPES, _HOPS = "orderkeep_envelopes", "orderkeep_hop_seconds"


def _lines(hop: Hop, kind: str, times: Times) -> Iterator[Number]:
    labels: dict[str, str] = {"hop": hop, "kind": kind}
    buckets = times.up_to()
    for bound, count in buckets:
        yield Number(f"{_HOPS}_bucket", {**labels, "le": bound}, count)
    yield Number(f"{_HOPS}_count", labels, buckets[-1][1])
    yield Number(f"{_HOPS}_sum", labels, times.sum_s)
