"""The loops of each role, and what is settled before they begin."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.sql.opening import is_shared
from orderkeep.bridge.dispatch import STEPS_AT_ONCE
from orderkeep.quoting.desk import AT_ONCE
from orderkeep.roles.loops import loop
from orderkeep.roles.parts import Parts

log = structlog.get_logger()

HOUR_S = 3600.0
MINUTE_S = 60.0
LOST_S = 5.0

WORKER_ROLES = ("relay", "bridge", "quoter", "watch")


@dataclass(frozen=True, slots=True)
class Worker:
    """A loop: which role it belongs to, what it does, what wakes it, how often it looks itself."""

    role: str
    name: str
    step: Callable[[], Awaitable[int]]
    topic: str
    poll_s: float = 1.0
    alone: bool = False
    """Done by one process of the role, however many there are; the others stand by."""


async def recover(parts: Parts) -> None:
    """Settle what an earlier process left behind: it is proven gone, since we hold the lock.

    Where others share the database they may be at work: who is gone is found out while we run.
    """
    if is_shared(parts.settings.database_url):
        return
    suspected = await parts.bridge.recover()
    freed = await parts.desk.recover()
    released = await parts.store.write(lambda work: work.outbox.release_all())
    log.info("process.recovered", suspected=suspected, price_jobs=freed, outbox=released)


async def open_transport(parts: Parts, roles: frozenset[str], stack: AsyncExitStack) -> None:
    """Connect to the broker, if there is one and these roles carry; never waits for it."""
    if "relay" in roles and not isinstance(parts.transport, EmbeddedTransport):
        await stack.enter_async_context(parts.transport)


def workers(parts: Parts) -> Iterator[Worker]:
    """Every loop of every role."""
    yield Worker("relay", "relay", parts.relay.step, "relay")
    if parts.search is not None:
        yield Worker("relay", "search", parts.search.step, "search")
    if parts.broker is not None:
        yield Worker("relay", "broker", parts.broker.step, "broker", poll_s=MINUTE_S)
    for inbox in parts.inboxes:
        role = "quoter" if inbox.consumer == "quoting" else "bridge"
        yield Worker(role, f"inbox.{inbox.consumer}", inbox.step, f"inbox:{inbox.consumer}")
    for place in range(1, AT_ONCE + 1):
        # One loop a place: whoever ends takes the next question, and no slow file holds up a batch.
        yield Worker("quoter", f"quoting.{place}", parts.desk.step, "quoting")
    for place in range(1, STEPS_AT_ONCE + 1):
        yield Worker("bridge", f"bridge.{place}", parts.bridge.step, "bridge", poll_s=0.5)
    if parts.settings.mes == "http" and parts.settings.mes_http.changes:
        poll_s = parts.settings.mes_http.poll.total_seconds()
        yield Worker("bridge", "feed", parts.bridge.feed.step, "feed", poll_s, alone=True)
    if parts.bridge.takeover is not None:
        yield Worker("bridge", "takeover", parts.bridge.takeover.step, "takeover")
    yield Worker("watch", "watch", parts.watch.step, "watch", poll_s=5.0, alone=True)
    yield Worker("watch", "counting", parts.counting.step, "counting", MINUTE_S, alone=True)
    yield Worker("watch", "replay", parts.replayer.step, "replay", alone=True)
    yield Worker("watch", "balance", parts.balances.step, "balance", MINUTE_S, alone=True)
    yield Worker("bridge", "lost", parts.lost_looks.step, "lost", LOST_S, alone=True)
    yield Worker("bridge", "reconcile", parts.reconciler.step, "reconcile", alone=True)
    yield Worker("watch", "files", parts.leftovers.step, "files", HOUR_S, alone=True)


def topics(parts: Parts) -> list[str]:
    """The bells of every loop."""
    return [worker.topic for worker in workers(parts)]


def start(parts: Parts, roles: frozenset[str], stop: asyncio.Event) -> set[asyncio.Task[None]]:
    """Start the loops of the given roles; they end after ``stop`` is set, between two steps."""

    def running(worker: Worker) -> Coroutine[Any, Any, None]:
        how = (parts.bells, worker.topic, stop, worker.poll_s, lambda: parts.store.in_a_rush)
        return loop(worker.name, _led(parts, worker), *how)

    return {
        asyncio.create_task(running(worker), name=worker.name)
        for worker in workers(parts)
        if worker.role in roles
    }


def _led(parts: Parts, worker: Worker) -> Callable[[], Awaitable[int]]:
    """The worker's step, taken only by who leads where one process is to do it alone."""
    if not worker.alone:
        return worker.step

    async def step() -> int:
        return await worker.step() if await parts.store.leads(worker.role) else 0

    return step
