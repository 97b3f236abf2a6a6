"""Handles what a consumer has received: effect and mark in one commit, so each happens once."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from orderkeep.delivery import sentences as say
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore, Received
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Refused, Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Loose, Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

BEFORE_HANDLE = failpoint("inbox.before_handle", "received, no effect yet")
AFTER_HANDLE = failpoint("inbox.after_handle", "effect and mark on disk")

BATCH = 200
ATTEMPTS = 8
"""Tries before an envelope is parked as a dead letter."""
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
A_FEW = 16
"""Envelopes that may be handled where they are kept: more of them are better off in parts."""

log = structlog.get_logger()


class InboxWork(Protocol):
    """A unit of work on the inbox."""

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


WorkT = TypeVar("WorkT", bound=InboxWork)


class InboxWorker(Generic[WorkT]):
    """One consumer's loop over its inbox; the handler joins the unit of work that marks the row."""

    def __init__(
        self,
        store: Store[WorkT],
        consumer: str,
        handler: Callable[[WorkT, Received, datetime], None],
        clock: Clock,
        traffic: Traffic | None = None,
    ) -> None:
        self.traffic = traffic or Traffic()
        self._store = store
        self._read_plain = store.read_loose if isinstance(store, Loose) else store.read
        self._write_plain = store.write_loose if isinstance(store, Loose) else store.write
        self.consumer = consumer
        self._handler = handler
        self._clock = clock

    async def step(self) -> int:
        """Handle one batch; returns how many rows have moved, 0 when there is cause to rest."""
        now = self._clock.now()
        rows = await self._read_plain(lambda work: work.inbox.due(self.consumer, now, BATCH))
        # Units that wait together share one commit.
        fates = await asyncio.gather(*(self._one(row) for row in rows))
        if late := len(rows) - sum(fates):
            log.warning("inbox.store_busy", consumer=self.consumer, rows=late)
        return sum(fates)

    async def keep(self, put_down: Callable[[WorkT], int], envelopes: Sequence[Envelope]) -> int:
        """Have envelopes kept, and handle in the same commit those whose turn it is.

        Whatever is wrong with one of them is found out when it is handled by itself.
        """
        if len(envelopes) <= A_FEW:
            with suppress(Exception):
                new, done = await self._store.write(partial(self._keep, put_down, envelopes))
                self.taken(done)
                return new
        return await self._write_plain(partial(self._put_down, put_down))

    def _put_down(self, put_down: Callable[[WorkT], int], work: WorkT) -> int:
        work.wake(f"inbox:{self.consumer}")
        return put_down(work)

    def _keep(
        self, put_down: Callable[[WorkT], int], envelopes: Sequence[Envelope], work: WorkT
    ) -> tuple[int, Sequence[Envelope]]:
        new = put_down(work)
        return new, self.take(work, envelopes, self._clock.now()) if new else ()

    def take(self, work: WorkT, envelopes: Sequence[Envelope], now: datetime) -> list[Envelope]:
        """Handle what this unit has kept, if it is little and as far as it is its turn."""
        ids, ours = {one.id for one in envelopes}, []
        if len(ids) <= A_FEW:
            # Where others wait the oldest are theirs, and it is not the turn of ours.
            rows = work.inbox.due(self.consumer, now, len(ids))
            ours = [row for row in rows if row.envelope.id in ids]
        for row in ours:
            reach(BEFORE_HANDLE)
            self._handler(work, row, now)
            work.inbox.handled(row.row, now)
        if len(ours) < len(ids):
            work.wake(f"inbox:{self.consumer}")
        return [row.envelope for row in ours]

    def taken(self, outcome: Sequence[Envelope]) -> None:
        """Count and tell what was handled where it was kept."""
        for one in outcome:
            reach(AFTER_HANDLE)
            self._done(one)

    async def _one(self, row: Received) -> bool:
        """Handle one row; False when the store did not take it, so that at once is too soon."""
        reach(BEFORE_HANDLE)
        now = self._clock.now()

        def handle(work: WorkT) -> None:
            self._handler(work, row, now)
            work.inbox.handled(row.row, now)

        try:
            await self._store.write(handle)
        except Conflict:
            return True  # Someone was faster: the row stays due and is decided again at once.
        except (Unavailable, Uncertain):
            return False
        except Exception as failure:  # noqa: BLE001  # Top of the loop: kept with its reason.
            await self._failed(row, failure)
            return True
        reach(AFTER_HANDLE)
        self._done(row.envelope)
        return True

    def _done(self, envelope: Envelope) -> None:
        took_s = (self._clock.now() - envelope.at).total_seconds()
        self.traffic.count(Passed.HANDLED, envelope.kind)
        self.traffic.took(Hop.HANDLE, envelope.kind, took_s)
        log.info(
            "envelope.handled",
            consumer=self.consumer,
            envelope_id=envelope.id,
            kind=envelope.kind,
            order_id=envelope.order_key,
            trace_id=envelope.trace_id,
        )

    async def _failed(self, row: Received, failure: Exception) -> None:
        now = self._clock.now()
        why = say.failed(failure)
        last = isinstance(failure, Refused) or row.attempts + 1 >= ATTEMPTS
        self.traffic.count(Passed.PARKED if last else Passed.FAILED, row.envelope.kind)
        log.error(
            "envelope.parked" if last else "envelope.failed",
            consumer=self.consumer,
            kind=row.envelope.kind,
            order_id=row.envelope.order_key,
            trace_id=row.envelope.trace_id,
            envelope_id=row.envelope.id,
            attempt=row.attempts + 1,
            reason=type(failure).__name__,
            exc_info=not isinstance(failure, Refused),
        )
        if last:
            await self._store.write(lambda work: work.inbox.park(row.row, now, why))
        else:
            due = now + pause_after(row.attempts)
            await self._store.write(lambda work: work.inbox.retry(row.row, due, why))


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failed tries: doubling, with an upper bound."""
    return min(FIRST_PAUSE * (1 << min(attempts, 16)), LONGEST_PAUSE)
