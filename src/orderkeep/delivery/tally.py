"""Published is consumed, parked or under way: counted on both ends, and against the broker's books.

Our own rows could agree with each other and both be wrong. So the counts of the transport, and of
whoever has the effects, are compared with them; whatever does not add up is said in a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from orderkeep.delivery.ports import Carried
from orderkeep.kernel.clock import Clock

NEWEST = 50_000
"""Envelopes that are counted: some hundred milliseconds of reading, beside the event loop."""
GRACE = timedelta(minutes=2)
"""How long an envelope may be under way before it is overdue; see ``delivery.search``."""

log = structlog.get_logger()


class Flow(msgspec.Struct, frozen=True):
    """What was carried for one consumer, each envelope in exactly one class."""

    consumer: str
    published: int
    """Carried, as the outbox knows, and meant for this consumer."""
    handled: int
    parked: int
    """Dead letters, with their reasons."""
    waiting: int
    """In the inbox, to be handled."""
    under_way: int
    """Carried and not in the inbox yet."""

    @property
    def consumed(self) -> int:
        """What has had its effect, or is kept until it has."""
        return self.handled + self.waiting


class Tally(msgspec.Struct, frozen=True):
    """The newest envelopes, counted: at most as many as were asked for."""

    counted: int
    unsent: int
    flows: Sequence[Flow]
    overdue: Sequence[Carried] = ()
    """Under way for longer than the grace: at the broker, or lost there."""


class BrokerBooks(msgspec.Struct, frozen=True):
    """A broker's own counts; ``held`` are messages that lie there, by consumer.

    Counters are of the broker's making: since it started, and of all who publish there.
    """

    published: int
    dropped: int
    """Confirmed although no queue took them."""
    held: Mapping[str, int]
    unrouted: int
    """In the queue of what no other queue took, to be received by us."""


def differences(tally: Tally, broker: BrokerBooks | None = None) -> list[str]:
    """What does not add up, in sentences; nothing when all does.

    The broker is read at another instant than our rows: what is under way may have arrived since,
    so more at the broker than we miss is no difference, and less is one only if it is overdue.
    """
    found = [
        f"{flow.consumer}: {flow.published} published, but {_sum(flow)} accounted for"
        for flow in tally.flows
        if flow.published != _sum(flow)
    ]
    if broker is None:
        return found
    if broker.dropped:
        found.append(f"the broker has dropped {broker.dropped} messages that it had confirmed")
    held = sum(broker.held.values()) + broker.unrouted
    if len(tally.overdue) > held:
        numbers = ", ".join(sorted({one.order_key for one in tally.overdue})[:20])
        found.append(
            f"{len(tally.overdue)} messages are neither here nor at the broker, which holds {held}:"
            f" {numbers}"
        )
    return found


def _sum(flow: Flow) -> int:
    return flow.consumed + flow.parked + flow.under_way


class LongStore(Protocol):
    """A store that can be read for longer, beside the event loop."""

    async def read_long(self, query: Callable[[Any], Tally]) -> Tally: ...


class Counting:
    """Counts again and again, and says what does not add up; ``last`` is the newest count.

    Args:
        count: counts the newest so many envelopes; what was carried before the instant and has not
            arrived is overdue.
        books: the broker's own counts, None where nobody may read them.
    """

    def __init__(
        self,
        store: LongStore,
        count: Callable[[Any, int, datetime], Tally],
        books: Callable[[], BrokerBooks | None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._count = count
        self._books = books
        self._clock = clock
        self.last: Tally | None = None
        self.differences: Sequence[str] = ()

    async def step(self) -> int:
        """Count once; returns 0, since nothing of this is in a hurry."""
        before = self._clock.now() - GRACE
        self.last = await self._store.read_long(lambda work: self._count(work, NEWEST, before))
        found = differences(self.last, self._books())
        for one in found:
            if one not in self.differences:  # once, not every minute
                log.error("delivery.differs", what=one)
        self.differences = found
        return 0
