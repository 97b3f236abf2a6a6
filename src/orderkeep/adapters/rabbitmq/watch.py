"""Looks at the broker from outside, through its management API: what drifts, and what it holds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

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
from orderkeep.delivery.tally import BrokerBooks
from orderkeep.doctor.snapshot import Queue, Sample
from orderkeep.kernel.errors import Unavailable

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
    ) -> None:
        self._look = look
        self._routes = routes
        self._vhost = vhost
        self._found = found
        self._max_length = max_length
        self._told: set[str] = set()
        self.books: BrokerBooks | None = None
        """The broker's own counts at the last look; None while it does not answer."""

    async def step(self) -> int:
        """Look once; returns 0, since nothing of this is in a hurry."""
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
        self.books = books(sample, self._routes, self._vhost)
        return 0


def books(sample: Sample, routes: Mapping[str, Sequence[str]], vhost: str) -> BrokerBooks:
    """What the broker has counted at our exchange and queues."""
    ours = {one.name: one for one in sample.queues if one.vhost == vhost}
    consumers = sorted({name for theirs in routes.values() for name in theirs})
    exchange = next((x for x in sample.exchanges if (x.vhost, x.name) == (vhost, EXCHANGE)), None)
    return BrokerBooks(
        published=exchange.message_stats.publish_in if exchange else 0,
        dropped=sample.overview.message_stats.drop_unroutable if _is_alone(sample, vhost) else 0,
        held={name: _held(ours, inbox_queue(name), dead_queue(name)) for name in consumers},
        unrouted=_held(ours, UNROUTABLE),
    )


def _held(queues: Mapping[str, Queue], *names: str) -> int:
    return sum(queues[name].messages for name in names if name in queues)


def _is_alone(sample: Sample, vhost: str) -> bool:
    """Whether nobody else publishes there: what the whole broker dropped is then ours."""
    return all(one.vhost == vhost for one in sample.queues)
