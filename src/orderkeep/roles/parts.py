"""The objects a process is made of, built once from the settings."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.files import LocalFiles
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.opening import AnyStore, is_shared, migrate, opened
from orderkeep.adapters.sql.tally import tally
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.dispatch import Bridge
from orderkeep.bridge.forgetting import Forgetting
from orderkeep.bridge.gate import GatedMes
from orderkeep.bridge.ports import Mes
from orderkeep.config import Settings, database_path, files_path
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Received
from orderkeep.delivery.relay import Relay
from orderkeep.delivery.replay import Replayer
from orderkeep.delivery.search import Search
from orderkeep.delivery.tally import Counting
from orderkeep.files.leftovers import Leftovers
from orderkeep.files.lookup import FileLookup
from orderkeep.files.upload import Files
from orderkeep.floor.workshop import Workshop
from orderkeep.http.admission import BOUNDS, Admission
from orderkeep.intake.accept import Intake
from orderkeep.intake.homes import ACCEPTING, Homes
from orderkeep.intake.polling import Poller
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import Clock, SystemClock
from orderkeep.kernel.ids import Ids
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.balance import Difference
from orderkeep.ledger.crm import differences as crm_differences
from orderkeep.ledger.keeping import Keeper, Tables
from orderkeep.ledger.reconciler import Reconciler
from orderkeep.ledger.shadowing import Comparing
from orderkeep.ledger.worklist import LostLooks, Worklist
from orderkeep.observe.traffic import Traffic
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy
from orderkeep.quoting.desk import PriceDesk
from orderkeep.quoting.price_book import PriceBook
from orderkeep.quoting.workers import Workers
from orderkeep.roles.carrying import broker_watch, carried, carrying, overdue
from orderkeep.roles.crm import CrmParts, crm_parts
from orderkeep.roles.mes import bridge_settings, mes_of, reconciler_of
from orderkeep.roles.replaying import replayer_of
from orderkeep.roles.routing import routes_of
from orderkeep.roles.rules import auto_approval, book_of, catalogue, policy_of, promise
from orderkeep.roles.taking_over import pollers, source_keeper, trying_again
from orderkeep.roles.trying_again import TryingAgain
from orderkeep.sla.watch import Watch

if TYPE_CHECKING:
    from orderkeep.adapters.kafka.transport import KafkaTransport
    from orderkeep.adapters.rabbitmq.transport import RabbitTransport
    from orderkeep.adapters.rabbitmq.watch import BrokerWatch
    from orderkeep.roles.sources import SourceKeeper


OLD_UPLOAD = timedelta(days=1)
"""Nobody takes longer over one file."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a role may use, open until the stack it was built on closes."""

    settings: Settings
    store: AnyStore
    bells: Bells
    clock: Clock
    ids: Ids
    policy: Policy
    book: PriceBook
    master: OrderMaster
    files: Files
    keeper: LocalFiles
    intake: Intake
    workshop: Workshop
    mes: Mes
    bridge: Bridge
    crm: CrmParts | None
    transport: "EmbeddedTransport | RabbitTransport | KafkaTransport"
    relay: Relay
    counting: Counting
    broker: "BrokerWatch | None"
    """Where RabbitMQ's management API may be asked."""
    search: Search | None
    """With a broker only: tables lose nothing on the way from one to the other."""
    inboxes: tuple[InboxWorker[SqlWork], ...]
    desk: PriceDesk
    watch: Watch
    replayer: Replayer
    leftovers: Leftovers
    forgetting: Forgetting
    balances: Keeper
    reconciler: Reconciler
    worklist: Worklist
    lost_looks: LostLooks
    sources: "SourceKeeper | None"
    """Where the configuration names sources at a broker."""
    pollers: tuple[Poller, ...]
    comparing: Comparing
    again: TryingAgain
    homes: Homes
    admission: Admission = field(default_factory=lambda: Admission(BOUNDS))
    """Whom the door lets in; workers leave the machine to it when too many come."""


async def build(
    settings: Settings,
    stack: AsyncExitStack,
    clock: Clock | None = None,
    roles: frozenset[str] | None = None,
) -> Parts:
    """Open the store, files and MES, and build what stands on them.

    With ``roles`` only what those need is opened: a door starts no measuring process. What is
    opened closes in reverse.

    Raises:
        AlreadyRunning: another process serves this database.
        StoreMisconfigured, StoreBusy: the database will not do, or cannot be reached.
        SchemaBehind: a database that others share has to be migrated first.
    """
    ground = await _ground(settings, stack, clock or SystemClock())
    desk = await _pricing(ground, stack, roles)
    making = await _making(ground, stack)
    carriers = _carriers(ground)
    if roles is None or "relay" in roles:
        await _remember_routes(settings, ground.store, ground.clock)
    taking_in = await _taking_in(ground, stack, roles)
    return _put_together(ground, desk, making, carriers, taking_in)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all the rest stands on."""

    settings: Settings
    store: AnyStore
    bells: Bells
    clock: Clock
    ids: Ids
    policy: Policy
    book: PriceBook
    master: OrderMaster
    keeper: LocalFiles
    lookup: FileLookup


async def _ground(settings: Settings, stack: AsyncExitStack, clock: Clock) -> _Ground:
    ids, bells = Ids(), Bells()
    policy, book = policy_of(settings), book_of(settings)
    shared = is_shared(settings.database_url)
    if not shared:
        # Where others may be at work, changing the schema is a step of its own.
        database_path(settings).parent.mkdir(parents=True, exist_ok=True)
        await migrate(settings.database_url)
    store = await stack.enter_async_context(opened(settings.database_url, bells, serve=True))
    keeper = LocalFiles(files_path(settings))
    # What another process is taking in just now is unfinished, and not left over.
    keeper.forget_unfinished(OLD_UPLOAD if shared else timedelta(0))
    master = OrderMaster(store, clock, ids, policy, crm=settings.crm.url is not None)
    lookup = FileLookup(store)
    return _Ground(settings, store, bells, clock, ids, policy, book, master, keeper, lookup)


async def _pricing(
    ground: _Ground, stack: AsyncExitStack, roles: frozenset[str] | None
) -> PriceDesk:
    workers = Workers(ground.settings.quoter_workers)
    if roles is None or "quoter" in roles:
        await stack.enter_async_context(workers)
    return PriceDesk(
        ground.store.behind,
        ground.master,
        workers,
        ground.keeper,
        ground.book,
        auto_approval,
        ground.clock,
    )


@dataclass(frozen=True, slots=True)
class _Making:
    """Who makes what was approved, and who is told of it."""

    workshop: Workshop
    mes: Mes
    bridge: Bridge
    crm: CrmParts | None
    asking: Asking


async def _making(ground: _Ground, stack: AsyncExitStack) -> _Making:
    settings, store, clock = ground.settings, ground.store, ground.clock
    workshop = Workshop(store, clock, ground.ids)
    mes = await mes_of(settings, workshop, clock, stack)
    # Whoever can see that we live can also see which work orders we hold.
    lives = store.presence
    pace, holder = bridge_settings(settings), lives.holder if lives else _holder(ground.ids)
    bridge = Bridge(store.behind, ground.master, mes, clock, pace, holder, lives)
    if bridge.places is not None:
        stack.push_async_callback(bridge.places.leave)
    crm = await crm_parts(settings, store.behind, ground.master, clock, holder, lives, stack)
    asking = Asking(GatedMes(mes, bridge.gate), bridge.gate)
    return _Making(workshop, mes, bridge, crm, asking)


@dataclass(frozen=True, slots=True)
class _Carriers:
    """What carries messages, and who counts what it carried and looks for what it lost."""

    transport: "EmbeddedTransport | RabbitTransport | KafkaTransport"
    search: Search | None
    broker: "BrokerWatch | None"
    counting: Counting


def _carriers(ground: _Ground) -> _Carriers:
    settings, store, clock = ground.settings, ground.store, ground.clock
    transport, search = carrying(settings, store, clock, ground.bells)
    broker = broker_watch(settings, transport)
    counting = Counting(
        store,
        lambda work, *asked: tally(work, routes_of(settings), *asked),
        lambda: broker.books if broker else None,
        clock,
    )
    return _Carriers(transport, search, broker, counting)


@dataclass(frozen=True, slots=True)
class _TakingIn:
    """What takes orders in, and from whom else than the door it does."""

    homes: Homes
    intake: Intake
    sources: "SourceKeeper | None"


async def _taking_in(
    ground: _Ground, stack: AsyncExitStack, roles: frozenset[str] | None
) -> _TakingIn:
    settings, store, policy = ground.settings, ground.store, ground.policy
    clock, ids, book = ground.clock, ground.ids, ground.book
    homes = Homes(store)
    if roles is None or roles & ACCEPTING:
        await homes.begin()
    intake = Intake(
        store,
        store.accepting(policy),
        lambda: catalogue(book),
        promise(policy),
        clock,
        ids,
        ground.lookup,
        homes.of,
    )
    leads = partial(store.leads, "bridge")
    sources = source_keeper(settings, store, intake, ground.master, leads, clock, ids)
    if sources is not None:
        stack.push_async_callback(sources.stop)
    return _TakingIn(homes, intake, sources)


def _put_together(
    ground: _Ground, desk: PriceDesk, making: _Making, carriers: _Carriers, taking_in: _TakingIn
) -> Parts:
    settings, store, clock, ids = ground.settings, ground.store, ground.clock, ground.ids
    master, keeper, intake = ground.master, ground.keeper, taking_in.intake
    return Parts(
        settings=settings,
        store=store,
        bells=ground.bells,
        clock=clock,
        ids=ids,
        policy=ground.policy,
        book=ground.book,
        master=master,
        files=_files(ground),
        keeper=keeper,
        intake=intake,
        workshop=making.workshop,
        mes=making.mes,
        bridge=making.bridge,
        crm=making.crm,
        transport=carriers.transport,
        relay=Relay(store.behind, carriers.transport, clock),
        counting=carriers.counting,
        broker=carriers.broker,
        search=carriers.search,
        inboxes=_inboxes(ground, desk, making, carriers.transport.traffic),
        desk=desk,
        watch=Watch(store.behind, master, clock),
        replayer=replayer_of(settings, store, clock, ids),
        leftovers=Leftovers(store.behind, keeper, clock),
        forgetting=Forgetting(store.behind, clock, settings.unknown_kept),
        balances=_balances(ground, carriers.counting),
        reconciler=reconciler_of(settings, store, master, making.asking, clock),
        worklist=Worklist(store, clock, asks=settings.mes == "http"),
        lost_looks=LostLooks(store.behind, making.asking, clock),
        sources=taking_in.sources,
        pollers=tuple(pollers(settings, store, intake, master, clock, ids)),
        homes=taking_in.homes,
        again=trying_again(settings, store, intake, master, clock, ids),
        comparing=Comparing(store, settings.sources, making.asking, clock),
    )


def _files(ground: _Ground) -> Files:
    max_bytes = ground.settings.largest_file_mib * 1024 * 1024
    kept = ground.lookup.remember
    return Files(
        ground.store, ground.keeper, ground.clock, ground.ids, max_bytes=max_bytes, kept=kept
    )


def _inboxes(
    ground: _Ground, desk: PriceDesk, making: _Making, traffic: Traffic
) -> tuple[InboxWorker[SqlWork], ...]:
    handlers: dict[str, Callable[[SqlWork, Received, datetime], None]] = {
        "quoting": desk.handle,
        "bridge": making.bridge.handle,
        "floor": making.workshop.order_cancelled,
    }
    if making.crm is not None:
        handlers[CRM] = making.crm.desk.handle
    return tuple(
        InboxWorker(ground.store.behind, consumer, handle, ground.clock, traffic)
        for consumer, handle in handlers.items()
    )


def _balances(ground: _Ground, counting: Counting) -> Keeper:
    tables = Tables(
        lambda work, now: ledger_of(work).balance(now),
        lambda work, no: facts_of(work, no, ground.policy),
        _beside(ground.settings, counting),
    )
    told = partial(carried, counting)
    return Keeper(ground.store, tables, ground.clock, lambda: monotonic() * 1000, told)


async def _remember_routes(settings: Settings, store: AnyStore, clock: Clock) -> None:
    """Before anything is carried by them: what is carried from now on is meant for them."""
    wanted, now = routes_of(settings), clock.now()
    await store.write(lambda work: work.routes.remember(wanted, now))


def _beside(
    settings: Settings, counting: Counting
) -> Callable[[Any, datetime], Sequence[Difference]]:
    """What other systems than the MES do not know or have lost, as the tables show it."""
    if settings.crm.url is None:
        return lambda _work, _now: overdue(counting)
    late = partial(crm_differences, late_after=settings.crm.late_after)
    return lambda work, now: [*late(work, now), *overdue(counting)]


def _holder(ids: Ids) -> str:
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{ids.token(8)}"
