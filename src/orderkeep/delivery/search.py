"""Looks for envelopes that were carried and have not arrived, and has them carried again.

A broker may lose what it has confirmed: a queue is deleted or purged, a disk is lost, a node dies
before its own book-keeping was on disk. The outbox keeps every envelope, and the inbox drops what
it knows, so whatever is missing there can be sent again without harm.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from orderkeep.delivery.ports import Carried, InboxStore, OutboxStore, RouteStore
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store

PAGE = 500
"""Carried envelopes looked at in one step."""
GRACE = timedelta(minutes=2)
"""How long an envelope may be on its way before it counts as missing."""
HORIZON = timedelta(days=1)
"""How far back to look: what is older has been looked for all day."""

log = structlog.get_logger()


class SearchWork(Protocol):
    """A unit of work on both ends of the road."""

    @property
    def outbox(self) -> OutboxStore: ...

    @property
    def inbox(self) -> InboxStore: ...

    @property
    def routes(self) -> RouteStore: ...


class Search:
    """Goes through what was carried since the horizon, page by page, and then begins anew.

    Only while the consumers have nothing left to receive (``quiet``): what merely waits in a long
    queue is not missing.
    """

    def __init__(
        self,
        store: Store[SearchWork],
        routes: Mapping[str, Sequence[str]],
        quiet: Callable[[], Awaitable[bool]],
        clock: Clock,
        grace: timedelta = GRACE,
    ) -> None:
        self._store = store
        self._routes = routes
        self._quiet = quiet
        self._clock = clock
        self._grace = grace
        self._after: int | None = None

    async def step(self) -> int:
        """Look at one page; returns 0, since nothing of this is in a hurry."""
        if not await self._quiet():
            return 0
        now = self._clock.now()
        page, missing = await self._store.read(lambda work: self._look(work, now - HORIZON))
        lost = [one for one in missing if now - HORIZON < one.sent_at < now - self._grace]
        if lost:
            await self._send_again(lost)
        self._after = page[-1].row if page else None
        return 0

    def _look(self, work: SearchWork, since: datetime) -> tuple[Sequence[Carried], list[Carried]]:
        after = _first(work.outbox, since) if self._after is None else self._after
        page = work.outbox.carried(after, PAGE)
        began = work.routes.since()
        missing: dict[int, Carried] = {}
        for consumer in sorted({name for theirs in self._routes.values() for name in theirs}):
            meant = [one for one in page if self._is_meant(one, consumer, began)]
            held = work.inbox.holds(consumer, [one.id for one in meant])
            missing |= {one.row: one for one in meant if one.id not in held}
        return page, [missing[row] for row in sorted(missing)]

    def _is_meant(
        self, one: Carried, consumer: str, began: Mapping[tuple[str, str], datetime]
    ) -> bool:
        takes = consumer in self._routes.get(one.kind, ())
        return takes and one.sent_at >= began.get((one.kind, consumer), one.sent_at)

    async def _send_again(self, lost: Sequence[Carried]) -> None:
        rows = [one.row for one in lost]
        await self._store.write(lambda work: work.outbox.send_again(rows))
        for one in lost:
            log.error(
                "envelope.lost_and_sent_again",
                envelope_id=one.id,
                kind=one.kind,
                order_id=one.order_key,
            )


def _first(outbox: OutboxStore, since: datetime) -> int:
    """A row before which everything was carried earlier than ``since``: by halves, not by reading.

    Rows are carried in about the order in which they were saved, which is exact enough.
    """

    def is_old(row: int) -> bool:
        found = outbox.carried(row, 1)
        return bool(found) and found[0].sent_at < since

    low, high = 0, 1
    while is_old(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_old(middle) else (low, middle)
    return low
