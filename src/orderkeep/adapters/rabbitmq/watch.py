"""Looks at the broker from outside, through its management API: what drifts, and what it holds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from orderkeep.adapters.rabbitmq.differences import Difference, differences
from orderkeep.adapters.rabbitmq.topology import (
    EXCHANGE,
    UNROUTABLE,
    dead_queue,
    inbox_queue,
    topology,
    version_of,
)
from orderkeep.delivery.tally import Between, BrokerBooks
from orderkeep.doctor.snapshot import Queue, Sample, Stats
from orderkeep.kernel.clock import Clock, SystemClock
from orderkeep.kernel.errors import Unavailable

STATISTICS = timedelta(seconds=30)
"""How old a queue's numbers may be: the broker renews them every 5 s, and later when it is busy."""
SKEW = timedelta(seconds=5)
"""How far the clocks of those who send, receive and look may be apart."""

log = structlog.get_logger()


class BrokerWatch:
    """Compares the broker with what has to be there, each time it is asked to.

    Args:
        look: reads the management API; it may take seconds and runs in a thread.
        found: is told every difference, also when there is none any more.
    """

    def __init__(
        self,
        look: Callable[[], Sample],
        routes: Mapping[str, Sequence[str]],
        vhost: str,
        found: Callable[[Sequence[Difference]], None],
        max_length: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._look = look
        self._routes = routes
        self._vhost = vhost
        self._found = found
        self._max_length = max_length
        self._clock = clock or SystemClock()
        self._told: set[str] = set()
        self.books: BrokerBooks | None = None
        """The broker's own counts at the last look; None while it does not answer."""

    async def step(self) -> int:
        """Look once; returns 0, since nothing of this is in a hurry."""
        since = self._clock.now() - STATISTICS
        try:
            sample = await asyncio.to_thread(self._look)
        except Unavailable as blind:
            self.books = None
            log.warning("broker.not_seen", reason=str(blind))
            return 0
        version = version_of(sample.overview.rabbitmq_version)
        wanted = topology(self._routes, version, self._max_length)
        now = differences(wanted, sample, self._vhost)
        for one in now:
            if str(one) not in self._told:  # once, not every minute
                log.error("broker.drifted", what=str(one), kind=one.kind)
        self._told = {str(one) for one in now}
        self._found(now)
        counted = Between(since, self._clock.now() + SKEW)
        self.books = books(sample, self._routes, self._vhost, counted)
        return 0


def books(
    sample: Sample, routes: Mapping[str, Sequence[str]], vhost: str, counted: Between
) -> BrokerBooks:
    """What the broker has counted at our exchange and queues, at some instant of ``counted``."""
    ours = {one.name: one for one in sample.queues if one.vhost == vhost}
    consumers = sorted({name for theirs in routes.values() for name in theirs})
    exchange = next((x for x in sample.exchanges if (x.vhost, x.name) == (vhost, EXCHANGE)), None)
    stats = [ours[name].message_stats for name in _inboxes(consumers) if name in ours]
    unrouted = _held(ours, UNROUTABLE)
    whole = sample.overview.message_stats if _is_alone(sample, vhost) else Stats()
    return BrokerBooks(
        published=exchange.message_stats.publish_in if exchange else 0,
        dropped=whole.drop_unroutable,
        # Where nobody knows what lies there for anybody, nothing is known of any consumer.
        held=_known(ours, consumers) if unrouted is not None else {},
        unrouted=unrouted or 0,
        counted=counted,
        confirmed=whole.confirm,
        returned=whole.return_unroutable,
        delivered=sum(one.deliver_get for one in stats),
        acked=sum(one.ack for one in stats),
        redelivered=sum(one.redeliver for one in stats),
    )


def _inboxes(consumers: Sequence[str]) -> Sequence[str]:
    """Every queue that we read."""
    queues = (queue(name) for name in consumers for queue in (inbox_queue, dead_queue))
    return [*queues, UNROUTABLE]


def _known(queues: Mapping[str, Queue], consumers: Sequence[str]) -> Mapping[str, int]:
    """How many lie there for each consumer whose queues say so."""
    held = {name: _held(queues, inbox_queue(name), dead_queue(name)) for name in consumers}
    return {name: number for name, number in held.items() if number is not None}


def _held(queues: Mapping[str, Queue], *names: str) -> int | None:
    """How many lie in queues, of which one that is not there holds none; None while one is silent.

    A broker that has just started shows its queues before it knows what they hold.
    """
    there = [queues[name] for name in names if name in queues]
    silent = any(one.messages_ready is None for one in there)
    return None if silent else sum(one.messages for one in there)


def _is_alone(sample: Sample, vhost: str) -> bool:
    """Whether nobody else publishes there: what the whole broker dropped is then ours."""
    return all(one.vhost == vhost for one in sample.queues)
