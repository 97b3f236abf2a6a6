"""One of several processes that use a database at once: ``python -m orderkeep.testing.rivals``.

Says ``ready``, waits for a line, does its work as fast as it can, and prints one fact a line.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from orderkeep.adapters.sql.postgres.store import PgStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Leased, Received
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, order_no
from orderkeep.orders.commands import AddNote
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLIENTS = 16
TWINS = 300
NOTES = 40
LEASE = timedelta(minutes=5)
CAUSE = Cause(Actor(ActorKind.PERSON, "oleg", "operator"), "claim", "office", "2" * 32)


def say(*facts: object) -> None:
    """One fact for whoever started us."""
    print(*facts, flush=True)  # noqa: T201  # the way out of this process


async def accepts_twins(store: PgStore) -> None:
    """Accept the same submissions as every rival does."""
    lane, fresh = store.accepting(Policy()), Submissions()
    left = [fresh.next() for _ in range(TWINS)]

    async def client() -> None:
        while left:
            submission = left.pop()
            accepted = await lane.accept(submission)
            say(submission.client_ref, accepted.order_no, accepted.replayed)

    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def accepts_for_ever(store: PgStore) -> None:
    """Accept until killed; print every receipt."""
    lane, fresh = store.accepting(Policy()), Submissions()

    async def client() -> None:
        while True:
            say((await lane.accept(fresh.next())).order_no)

    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def claims(store: PgStore) -> None:
    """Take orders until none is free."""
    lane = store.claiming()

    async def operator(name: str) -> None:
        while no := await lane.claim_next(name, NOON, NOON + LEASE, CAUSE):
            say(no)

    await asyncio.gather(*[operator(f"op{i}") for i in range(CLIENTS)])


async def relays(store: PgStore) -> None:
    """Lease and send until nothing is left, as several relays do."""

    async def carry(leased: Sequence[Leased]) -> None:
        at = time.monotonic_ns()
        await asyncio.sleep(0.01)  # on its way; a rival has time to overtake
        for one in leased:
            say(one.envelope.order_key, one.envelope.id, one.token, at, time.monotonic_ns())
        await store.write(lambda work: work.outbox.sent(leased, NOON))

    async def relay() -> None:
        while leased := await store.write(lambda work: work.outbox.lease(NOON, NOON + LEASE, 7)):
            await carry(leased)

    await asyncio.gather(*[relay() for _ in range(4)])


async def handles(store: PgStore) -> None:
    """Handle the inbox; the effect of an envelope is a line in the audit."""

    def effect(work: SqlWork, received: Received, now: datetime) -> None:
        work.access.record(now, "rival", "handled", received.envelope.id)

    worker = InboxWorker(store, "quoting", effect, SystemClock())
    while await worker.step():
        pass


async def notes(store: PgStore) -> None:
    """Write notes on the first order, many at once."""
    master = OrderMaster(store, SystemClock(), Ids(), Policy())
    commands = [master.handle(order_no(1), AddNote(f"{i}"), CAUSE) for i in range(NOTES)]
    for handled in await asyncio.gather(*commands):
        say(handled.order.version)


TASKS: dict[str, Callable[[PgStore], Awaitable[None]]] = {
    task.__name__: task
    for task in (accepts_twins, accepts_for_ever, claims, relays, handles, notes)
}


async def main(task: str, url: str) -> None:
    """Open the store, wait for the start, work."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with await open_store(url, Bells()) as store:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await TASKS[task](store)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
