"""The loops of each role, and what is settled before they begin."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.sql.opening import is_shared
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.dispatch import STEPS_AT_ONCE
from orderkeep.delivery.ports import HandsOver
from orderkeep.intake.homes import ACCEPTING
from orderkeep.quoting.desk import AT_ONCE
from orderkeep.roles.loops import FAR_ASIDE_S, STEP_ASIDE_S, loop
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
    if parts.crm is not None:
        suspected += await parts.crm.line.recover()
    freed = await parts.desk.recover()
    released = await parts.store.write(lambda work: work.outbox.release_all())
    log.info("process.recovered", suspected=suspected, price_jobs=freed, outbox=released)


async def open_transport(parts: Parts, roles: frozenset[str], stack: AsyncExitStack) -> None:
    """Connect to the broker, if there is one and these roles carry; never waits for it.

    Where the transport lets them, inboxes are filled by the processes that handle them.
    """
    transport, relays = parts.transport, "relay" in roles
    handled = {one.consumer: one for one in parts.inboxes if _role_of(one.consumer) in roles}
    if isinstance(transport, HandsOver):
        transport.hand_over(handled, alone=not relays)
        relays = relays or bool(handled)
    if relays and not isinstance(transport, EmbeddedTransport):
        await stack.enter_async_context(transport)


def workers(parts: Parts) -> Iterator[Worker]:
    """Every loop of every role."""
    yield from _carrying(parts)
    for inbox in parts.inboxes:
        role, topic = _role_of(inbox.consumer), f"inbox:{inbox.consumer}"
        yield Worker(role, f"inbox.{inbox.consumer}", inbox.step, topic)
    for place in range(1, AT_ONCE + 1):
        # One loop a place: whoever ends takes the next question, and no slow file holds up a batch.
        yield Worker("quoter", f"quoting.{place}", parts.desk.step, "quoting")
    for place in range(1, STEPS_AT_ONCE + 1):
        yield Worker("bridge", f"bridge.{place}", parts.bridge.step, "bridge", poll_s=0.5)
    if parts.settings.mes == "http" and parts.settings.mes_http.changes:
        poll_s = parts.settings.mes_http.poll.total_seconds()
        yield Worker("bridge", "feed", parts.bridge.feed.step, "feed", poll_s, alone=True)
    if parts.bridge.places is not None:
        yield Worker("bridge", "places", parts.bridge.places.step, "places")
    if parts.bridge.takeover is not None:
        yield Worker("bridge", "takeover", parts.bridge.takeover.step, "takeover")
    yield from _taking_over(parts)
    yield from _crm_workers(parts)
    yield Worker("watch", "watch", parts.watch.step, "watch", poll_s=5.0, alone=True)
    if parts.broker is not None:
        # Who counts has to know what the broker holds, also where no relay runs beside it.
        yield Worker("watch", "broker.books", parts.broker.step, "broker", MINUTE_S, alone=True)
    yield Worker("watch", "counting", parts.counting.step, "counting", MINUTE_S, alone=True)
    yield Worker("watch", "replay", parts.replayer.step, "replay", alone=True)
    yield Worker("watch", "balance", parts.balances.step, "balance", MINUTE_S, alone=True)
    yield Worker("bridge", "lost", parts.lost_looks.step, "lost", LOST_S, alone=True)
    yield Worker("bridge", "reconcile", parts.reconciler.step, "reconcile", alone=True)
    yield Worker("watch", "files", parts.leftovers.step, "files", HOUR_S, alone=True)
    yield Worker("watch", "tray", parts.forgetting.step, "tray", HOUR_S, alone=True)


def _role_of(consumer: str) -> str:
    return "quoter" if consumer == "quoting" else "bridge"


def _carrying(parts: Parts) -> Iterator[Worker]:
    for place in range(1, parts.relay.at_once + 1):
        yield Worker("relay", f"relay.{place}", parts.relay.step, "relay")
    if parts.search is not None:
        yield Worker("relay", "search", parts.search.step, "search")
    if parts.broker is not None:
        yield Worker("relay", "broker", parts.broker.step, "broker", poll_s=MINUTE_S)


def _crm_workers(parts: Parts) -> Iterator[Worker]:
    if parts.crm is None:
        return
    for place in range(1, STEPS_AT_ONCE + 1):
        yield Worker("bridge", f"crm.{place}", parts.crm.line.step, CRM, poll_s=0.5)
    if parts.crm.line.places is not None:
        yield Worker("bridge", "crm.places", parts.crm.line.places.step, "places")
    yield Worker("bridge", "crm.takeover", parts.crm.line.take_over, "takeover")
    yield Worker(
        "bridge", "crm.backfill", parts.crm.desk.backfill, "backfill", MINUTE_S, alone=True
    )
    yield Worker("bridge", "crm.comparing", parts.crm.comparing.step, "comparing", alone=True)
    if parts.crm.feed is not None:
        poll_s = parts.settings.crm.poll.total_seconds()
        yield Worker("bridge", "crm.feed", parts.crm.feed.step, "feed", poll_s, alone=True)


def _taking_over(parts: Parts) -> Iterator[Worker]:
    """The loops that listen to a maker's present systems."""
    for role in sorted(ACCEPTING):
        yield Worker(role, f"homes.{role}", parts.homes.step, "homes")
    if parts.sources is not None:
        # It asks itself who leads: whoever leads no more has connections to end.
        yield Worker("bridge", "sources", parts.sources.step, "sources")
    for place, poller in enumerate(parts.pollers):
        yield Worker("bridge", f"polling.{place}", poller.step, "sources", alone=True)
    if parts.settings.sources:
        yield Worker("bridge", "shadow", parts.comparing.step, "shadow", alone=True)
        yield Worker("bridge", "again", parts.again.step, "sources", alone=True)


def topics(parts: Parts) -> list[str]:
    """The bells of every loop."""
    return [worker.topic for worker in workers(parts)]


def start(parts: Parts, roles: frozenset[str], stop: asyncio.Event) -> set[asyncio.Task[None]]:
    """Start the loops of the given roles; they end after ``stop`` is set, between two steps."""

    def running(worker: Worker) -> Coroutine[Any, Any, None]:
        how = (parts.bells, worker.topic, stop, worker.poll_s, lambda: _aside_s(parts))
        return loop(worker.name, _led(parts, worker), *how)

    return {
        asyncio.create_task(running(worker), name=worker.name)
        for worker in workers(parts)
        if worker.role in roles
    }


def _aside_s(parts: Parts) -> float:
    """How long a worker leaves the machine to those who stand at the door."""
    if parts.admission.overloaded:
        return FAR_ASIDE_S
    return STEP_ASIDE_S if parts.store.in_a_rush else 0.0


def _led(parts: Parts, worker: Worker) -> Callable[[], Awaitable[int]]:
    """The worker's step, taken only by who leads where one process is to do it alone."""
    if not worker.alone:
        return worker.step

    async def step() -> int:
        return await worker.step() if await parts.store.leads(worker.role) else 0

    return step
