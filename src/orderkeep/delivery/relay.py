"""Moves envelopes from the outbox to the transport; a row is done only when it was carried."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from orderkeep.delivery.ports import Leased, OutboxStore, Transport
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store

AFTER_LEASE = failpoint("relay.after_lease", "rows held, nothing carried")
AFTER_PUBLISH = failpoint("relay.after_publish", "carried, the outbox does not know it")
AFTER_MARK = failpoint("relay.after_mark", "carried and marked")

BATCH = 200
LEASE = timedelta(seconds=30)
PAUSE = timedelta(seconds=1)
"""How long rows rest when the transport is away."""

log = structlog.get_logger()


class TransportAway(Unavailable):
    """Nothing can be carried now."""


class RelayWork(Protocol):
    """A unit of work on the outbox."""

    @property
    def outbox(self) -> OutboxStore: ...


class Relay:
    """Carries what waits, oldest first and in order within an order key."""

    def __init__(self, store: Store[RelayWork], transport: Transport, clock: Clock) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock

    async def step(self) -> int:
        """Carry one batch; returns how many were carried, 0 when there is cause to rest."""
        now = self._clock.now()
        leased = await self._store.write(lambda work: work.outbox.lease(now, now + LEASE, BATCH))
        if not leased:
            return 0
        reach(AFTER_LEASE)
        return await self._carry(leased)

    async def _carry(self, leased: Sequence[Leased]) -> int:
        try:
            carried = list(await self._transport.publish([row.envelope for row in leased]))
        except Unavailable as away:
            # The transport being away is not the envelope's fault: no attempt is counted.
            log.warning("relay.transport_away", reason=type(away).__name__, rows=len(leased))
            carried = [False] * len(leased)
        reach(AFTER_PUBLISH)
        await self._mark(leased, carried)
        reach(AFTER_MARK)
        return sum(carried)

    async def _mark(self, leased: Sequence[Leased], carried: Sequence[bool]) -> None:
        now = self._clock.now()
        done = [row for row, sent in zip(leased, carried, strict=True) if sent]
        left = [row for row, sent in zip(leased, carried, strict=True) if not sent]

        def mark(work: RelayWork) -> None:
            work.outbox.sent(done, now)
            if left:
                work.outbox.put_back(left, now + PAUSE)

        await self._store.write(mark)
