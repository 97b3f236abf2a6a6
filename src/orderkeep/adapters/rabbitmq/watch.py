"""Looks at the broker from outside, through its management API: what drifts, and what it holds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from orderkeep.adapters.rabbitmq.differences import Difference, differences
from orderkeep.adapters.rabbitmq.topology import topology, version_of
from orderkeep.doctor.snapshot import Sample
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

    async def step(self) -> int:
        """Look once; returns 0, since nothing of this is in a hurry."""
        try:
            sample = await asyncio.to_thread(self._look)
        except Unavailable as blind:
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
        return 0
