"""Moves envelopes from the outbox to the transport; a row is done only when it was carried."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from orderkeep.delivery.ports import AtHome, Leased, OutboxStore, Transport, Tried
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Forgetful, Store

AFTER_LEASE = failpoint("relay.after_lease", "rows held at most, nothing carried")
AFTER_PUBLISH = failpoint("relay.after_publish", "carried, the outbox does not know it")
AFTER_MARK = failpoint("relay.after_mark", "carried and marked")

BATCH = 200
LEASE = timedelta(seconds=30)
PAUSE = timedelta(seconds=1)
"""How long rows rest when the transport is away."""
LOOK_PAST = 5
"""Batches of which nothing was carried that are put behind before a rest."""
AT_ONCE = 4
"""Steps under way to a broker."""
UNWRITTEN = AT_ONCE * BATCH
"""Rows whose fate is remembered while it cannot be written down."""

log = structlog.get_logger()


class TransportAway(Unavailable):
    """Nothing can be carried now."""


class RelayWork(Protocol):
    """A unit of work on the outbox."""

    @property
    def outbox(self) -> OutboxStore: ...


class Relay:
    """Carries what waits, oldest first and in order within an order key.

    Several steps may run at once: a lease holds back whatever is behind it in its order.
    """

    def __init__(self, store: Store[RelayWork], transport: Transport, clock: Clock) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._fruitless = 0
        # Losing a lease or a mark has a row carried once more, which its receivers do not notice.
        self._pass = store.write_in_passing if isinstance(store, Forgetful) else store.write
        self._home = transport if isinstance(transport, AtHome) else None
        self._looking = asyncio.Lock()
        self._looks = 0
        self._full = False
        self._unwritten: list[tuple[Leased, Tried]] = []
        """What became of rows while the store was away: until it knows, their orders stand."""

    @property
    def at_once(self) -> int:
        """Steps worth being under way: one waits for confirms, another carries what came since."""
        return 1 if self._home is not None else AT_ONCE

    async def step(self) -> int:
        """Carry one batch; returns how many were carried, 0 when there is cause to rest."""
        looks = self._looks
        async with self._looking:
            if self._looks > looks and not self._full:
                return 0  # Who looked meanwhile has seen all that we were rung for.
            self._looks += 1
            if self._home is not None:
                return await self._carry_at_home(self._home)
            if self._unwritten:
                await self._mark(())
            leased = await self._lease()
        if not leased:
            return 0
        reach(AFTER_LEASE)
        return await self._carry(leased)

    async def _lease(self) -> Sequence[Leased]:
        now = self._clock.now()
        leased = await self._pass(lambda work: work.outbox.lease(now, now + LEASE, BATCH))
        self._full = len(leased) == BATCH
        return leased

    async def _carry_at_home(self, home: AtHome) -> int:
        """Where nothing leaves the database, lease, carrying and mark are one commit."""
        now = self._clock.now()

        def carry(work: RelayWork, *, handled: bool) -> tuple[Sequence[Leased], Any]:
            leased = work.outbox.lease(now, now + LEASE, BATCH)
            if not leased:
                return leased, None
            reach(AFTER_LEASE)
            envelopes = [row.envelope for row in leased]
            put = home.put_down(work, envelopes, now, handled=handled)
            work.outbox.sent(leased, now)
            return leased, put

        try:
            leased, put = await self._store.write(partial(carry, handled=True))
        except (Unavailable, Uncertain):
            raise
        except Exception:  # noqa: BLE001  # Carried without it; who handles them finds out why.
            leased, put = await self._store.write(partial(carry, handled=False))
        self._full = len(leased) == BATCH
        if leased:
            home.told([row.envelope for row in leased], put, now)
            reach(AFTER_PUBLISH)
            reach(AFTER_MARK)
        return len(leased)

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
        tried, self._unwritten = [*self._unwritten, *tried], []
        try:
            await self._pass(lambda work: work.outbox.settle(tried, now))
        except Exception:
            # Who leases a row meanwhile gives it another token, and the old one does nothing.
            self._unwritten = [*self._unwritten, *tried][-UNWRITTEN:]
            raise
