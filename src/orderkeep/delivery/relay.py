"""Moves envelopes from the outbox to the transport; a row is done only when it was carried."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from orderkeep.delivery.ports import Leased, OutboxStore, Transport, Tried
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
LOOK_PAST = 5
"""Batches of which nothing was carried that are put behind before a rest."""

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
        self._fruitless = 0

    async def step(self) -> int:
        """Carry one batch; returns how many were carried, 0 when there is cause to rest."""
        now = self._clock.now()
        leased = await self._store.write(lambda work: work.outbox.lease(now, now + LEASE, BATCH))
        if not leased:
            return 0
        reach(AFTER_LEASE)
        return await self._carry(leased)

    async def _carry(self, leased: Sequence[Leased]) -> int:
        away = False
        try:
            tried = list(await self._transport.publish([row.envelope for row in leased]))
        except Unavailable as why:
            # The transport being away is not the envelope's fault: no attempt is counted.
            log.warning("relay.transport_away", reason=type(why).__name__, rows=len(leased))
            away, tried = True, [Tried(carried=False, rest=PAUSE)] * len(leased)
        reach(AFTER_PUBLISH)
        await self._mark(list(zip(leased, tried, strict=True)))
        reach(AFTER_MARK)
        return sum(one.carried for one in tried) or self._past(len(leased), away=away)

    def _past(self, rows: int, *, away: bool) -> int:
        """What nobody takes just now must not keep what is behind it from being looked at."""
        self._fruitless += 1
        if away or self._fruitless % LOOK_PAST == 0:
            return 0
        return rows

    async def _mark(self, tried: Sequence[tuple[Leased, Tried]]) -> None:
        now = self._clock.now()
        done = [row for row, one in tried if one.carried]
        answered = [pair for pair in tried if pair[1].answer]
        left: dict[timedelta, list[Leased]] = {}
        for row, one in tried:
            if not one.carried:
                left.setdefault(one.rest, []).append(row)

        def mark(work: RelayWork) -> None:
            if answered:
                work.outbox.note(answered)
            work.outbox.sent(done, now)
            for rest, rows in left.items():
                work.outbox.put_back(rows, now + rest)

        await self._store.write(mark)
