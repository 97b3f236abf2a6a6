"""Published is consumed, parked or under way: counted on both ends, and against the broker's books.

Our own rows could agree with each other and both be wrong. So the counts of the transport, and of
whoever has the effects, are compared with them; whatever does not add up is said in a sentence.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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

STALE = timedelta(minutes=3)
"""An older count says nothing of now: whoever counted has stopped, or somebody else leads."""

log = structlog.get_logger()


class Between(msgspec.Struct, frozen=True):
    """An instant that is not known more exactly."""

    since: datetime
    until: datetime


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
    late: int = 0
    """Of these, under way for longer than the grace: at the broker, or lost there."""
    owed: int = 0
    """What the broker had to hold when it was counted: carried before, not received by then."""
    overdue: Sequence[Carried] = ()
    """The oldest of those that are late, by name."""

    @property
    def consumed(self) -> int:
        """What has had its effect, or is kept until it has."""
        return self.handled + self.waiting


class Tally(msgspec.Struct, frozen=True):
    """The newest envelopes, counted: at most as many as were asked for."""

    counted: int
    unsent: int
    flows: Sequence[Flow]

    @property
    def overdue(self) -> Sequence[Carried]:
        """Whatever is late, by name and in its order; once, however many receivers wait for it."""
        return _named(self.flows)


class BrokerBooks(msgspec.Struct, frozen=True):
    """A broker's own counts; ``held`` are messages that lie there, by consumer.

    A consumer is left out while nobody knows how many lie there for it. Counters are of the
    broker's making: since it started, and of all who publish there.
    """

    published: int
    dropped: int
    """Confirmed although no queue took them."""
    held: Mapping[str, int]
    unrouted: int
    """In the queue of what no other queue took, to be received by us."""
    counted: Between
    """When it was that so many lay there."""
    confirmed: int = 0
    returned: int = 0
    delivered: int = 0
    acked: int = 0
    redelivered: int = 0


def differences(tally: Tally, broker: BrokerBooks | None = None) -> list[str]:
    """What does not add up, in sentences; nothing when all does."""
    found = [
        f"{flow.consumer}: {flow.published} published, but {_sum(flow)} accounted for"
        for flow in tally.flows
        if flow.published != _sum(flow)
    ]
    if broker is None:
        return found
    if broker.dropped:
        found.append(f"the broker has dropped {broker.dropped} messages that it had confirmed")
    return found + [_lost(flow, broker) for flow in tally.flows if lost(flow, broker)]


def lost(flow: Flow, broker: BrokerBooks) -> int:
    """At least how many of a consumer's messages are neither here nor at the broker.

    What came before the broker was counted and was not received by then lay there, or is lost. So a
    loss shows beside any number of others that wait; the balance of both sides hides no more than
    lies there twice, or came or went in the very time in which it was counted.
    """
    if not flow.overdue or flow.consumer not in broker.held:
        return 0
    return max(0, flow.owed - _held(flow, broker))


def _held(flow: Flow, broker: BrokerBooks) -> int:
    # Whose the unroutable are is not known: they may be anybody's.
    return broker.held[flow.consumer] + broker.unrouted


def _lost(flow: Flow, broker: BrokerBooks) -> str:
    numbers = ", ".join(sorted({one.order_key for one in flow.overdue})[:20])
    return (
        f"{flow.consumer}: {lost(flow, broker)} or more messages are neither here nor at the"
        f" broker, which holds {_held(flow, broker)}; they are among those of {numbers}"
    )


def missing(tally: Tally, broker: BrokerBooks | None) -> Sequence[Carried]:
    """What was confirmed long ago and has not arrived, of consumers for whom some is lost.

    Which of them is lost, and which waits beside it, the broker does not say. Without its books
    nobody knows where any of it is, and that has to be said.
    """
    return _named(
        one
        for one in tally.flows
        if broker is None or one.consumer not in broker.held or lost(one, broker)
    )


def _named(flows: Iterable[Flow]) -> Sequence[Carried]:
    by_row = {one.row: one for flow in flows for one in flow.overdue}
    return [by_row[row] for row in sorted(by_row)]


def _sum(flow: Flow) -> int:
    return flow.consumed + flow.parked + flow.under_way


class LongStore(Protocol):
    """A store that can be read for longer, beside the event loop."""

    async def read_long(self, query: Callable[[Any], Tally]) -> Tally: ...


class Counting:
    """Counts again and again, and says what does not add up; ``last`` is the newest count.

    Args:
        count: counts the newest so many envelopes; what was carried before the instant and has not
            arrived is overdue, and what the broker had to hold is of when it was counted there.
        books: the broker's own counts, None where nobody may read them.
    """

    def __init__(
        self,
        store: LongStore,
        count: Callable[[Any, int, datetime, Between | None], Tally],
        books: Callable[[], BrokerBooks | None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._count = count
        self._books = books
        self._clock = clock
        self.last: Tally | None = None
        self._at: datetime | None = None
        self.differences: Sequence[str] = ()
        self.missing: Sequence[Carried] = ()

    @property
    def broker(self) -> BrokerBooks | None:
        """The broker's own counts, if anybody may read them."""
        return self._books()

    def age(self) -> timedelta | None:
        """How old the newest count is; None while there is none."""
        return None if self._at is None else self._clock.now() - self._at

    async def step(self) -> int:
        """Count once; returns 0, since nothing of this is in a hurry."""
        now, broker = self._clock.now(), self._books()
        counted = broker.counted if broker else None
        self.last = await self._store.read_long(
            lambda work: self._count(work, NEWEST, now - GRACE, counted)
        )
        self._at = now
        found = differences(self.last, broker)
        self.missing = missing(self.last, broker)
        for one in found:
            if one not in self.differences:  # once, not every minute
                log.error("delivery.differs", what=one)
        self.differences = found
        return 0
