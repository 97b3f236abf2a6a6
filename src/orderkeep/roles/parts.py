"""The objects a process is made of, built once from the settings."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
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
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.homes import ACCEPTING, Homes
from orderkeep.intake.polling import Poller
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import Clock, SystemClock
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.balance import Difference
from orderkeep.ledger.crm import differences as crm_differences
from orderkeep.ledger.keeping import Keeper, Tables
from orderkeep.ledger.reconciler import Reconciler
from orderkeep.ledger.shadowing import Comparing
from orderkeep.ledger.worklist import LostLooks, Worklist
from orderkeep.observe.traffic import Traffic
from orderkeep.orders.home import is_made_here
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.desk import PriceDesk
from orderkeep.quoting.price_book import PriceBook, example_book, read_price_book
from orderkeep.quoting.workers import Workers
from orderkeep.roles.carrying import broker_watch, carried, carrying, overdue
from orderkeep.roles.crm import CrmParts, crm_parts
from orderkeep.roles.mes import bridge_settings, mes_of, reconciler_of
from orderkeep.roles.replaying import replayer_of
from orderkeep.roles.routing import routes_of
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

    With ``roles`` only what those need is opened: a door starts no measuring process.

    Raises:
        AlreadyRunning: another process serves this database.
        StoreMisconfigured, StoreBusy: the database will not do, or cannot be reached.
        SchemaBehind: a database that others share has to be migrated first.
    """
    clock, ids, bells = clock or SystemClock(), Ids(), Bells()
    policy = policy_of(settings)
    book = book_of(settings)
    shared = is_shared(settings.database_url)
    if not shared:
        # Where others may be at work, changing the schema is a step of its own.
        database_path(settings).parent.mkdir(parents=True, exist_ok=True)
        await migrate(settings.database_url)
    store = await stack.enter_async_context(opened(settings.database_url, bells, serve=True))
    keeper = LocalFiles(files_path(settings))
    # What another process is taking in just now is unfinished, and not left over.
    keeper.forget_unfinished(OLD_UPLOAD if shared else timedelta(0))
    workers = Workers(settings.quoter_workers)
    if roles is None or "quoter" in roles:
        await stack.enter_async_context(workers)
    workshop = Workshop(store, clock, ids)
    mes = await mes_of(settings, workshop, clock, stack)
    master = OrderMaster(store, clock, ids, policy, crm=settings.crm.url is not None)
    # Whoever can see that we live can also see which work orders we hold.
    lives = store.presence
    pace, holder = bridge_settings(settings), lives.holder if lives else _holder(ids)
    bridge = Bridge(store.behind, master, mes, clock, pace, holder, lives)
    if bridge.places is not None:
        stack.push_async_callback(bridge.places.leave)
    crm = await crm_parts(settings, store.behind, master, clock, holder, lives, stack)
    asking = Asking(GatedMes(mes, bridge.gate), bridge.gate)
    transport, search = carrying(settings, store, clock, bells)
    broker = broker_watch(settings, transport)
    counting = Counting(
        store,
        lambda work, *asked: tally(work, routes_of(settings), *asked),
        lambda: broker.books if broker else None,
        clock,
    )
    desk = PriceDesk(store.behind, master, workers, keeper, book, auto_approval, clock)
    max_bytes = settings.largest_file_mib * 1024 * 1024
    lookup = FileLookup(store)
    tables = Tables(
        lambda work, now: ledger_of(work).balance(now),
        lambda work, no: facts_of(work, no, policy),
        _beside(settings, counting),
    )
    if roles is None or "relay" in roles:
        await _remember_routes(settings, store, clock)
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
        lookup,
        homes.of,
    )
    leads = partial(store.leads, "bridge")
    sources = source_keeper(settings, store, intake, master, leads, clock, ids)
    if sources is not None:
        stack.push_async_callback(sources.stop)
    return Parts(
        settings=settings,
        store=store,
        bells=bells,
        clock=clock,
        ids=ids,
        policy=policy,
        book=book,
        master=master,
        files=Files(store, keeper, clock, ids, max_bytes=max_bytes, kept=lookup.remember),
        keeper=keeper,
        intake=intake,
        workshop=workshop,
        mes=mes,
        bridge=bridge,
        crm=crm,
        transport=transport,
        relay=Relay(store.behind, transport, clock),
        counting=counting,
        broker=broker,
        search=search,
        inboxes=(
            InboxWorker(store.behind, "quoting", desk.handle, clock, transport.traffic),
            InboxWorker(store.behind, "bridge", bridge.handle, clock, transport.traffic),
            InboxWorker(store.behind, "floor", workshop.order_cancelled, clock, transport.traffic),
            *_crm_inbox(crm, store, clock, transport.traffic),
        ),
        desk=desk,
        watch=Watch(store.behind, master, clock),
        replayer=replayer_of(settings, store, clock, ids),
        leftovers=Leftovers(store.behind, keeper, clock),
        forgetting=Forgetting(store.behind, clock, settings.unknown_kept),
        balances=Keeper(
            store, tables, clock, lambda: monotonic() * 1000, partial(carried, counting)
        ),
        reconciler=reconciler_of(settings, store, master, asking, clock),
        worklist=Worklist(store, clock, asks=settings.mes == "http"),
        lost_looks=LostLooks(store.behind, asking, clock),
        sources=sources,
        pollers=tuple(pollers(settings, store, intake, master, clock, ids)),
        homes=homes,
        again=trying_again(settings, store, intake, master, clock, ids),
        comparing=Comparing(store, settings.sources, asking, clock),
    )


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


def _crm_inbox(
    crm: CrmParts | None, store: AnyStore, clock: Clock, traffic: Traffic
) -> tuple[InboxWorker[SqlWork], ...]:
    if crm is None:
        return ()
    return (InboxWorker(store.behind, CRM, crm.desk.handle, clock, traffic),)


def policy_of(settings: Settings) -> Policy:
    """The maker's rules as the lifecycle knows them."""
    rules = settings.rules
    return Policy(
        lead_time=rules.lead_time,
        price_valid=rules.price_valid,
        reconsent_above=rules.reconsent_above,
        claim=rules.claim,
        rework_limit=rules.rework_limit,
        draft=rules.draft,
        close_after=rules.close_after,
    )


def book_of(settings: Settings) -> PriceBook:
    """The price book in force.

    Raises:
        Invalid: with every fault of the file.
    """
    if settings.price_book is None:
        return example_book()
    return read_price_book(settings.price_book.read_text(encoding="utf-8"))


def catalogue(book: PriceBook) -> Catalogue:
    """What submissions may name."""
    return Catalogue(book.materials, book.skus)


def promise(policy: Policy) -> Any:
    """How the promised date follows from a submission: what was asked, but not before we can."""

    def promised(_: SubmissionBody, now: datetime) -> datetime:
        return now + policy.lead_time

    return promised


def auto_approval(work: SqlWork, order: Order) -> str | None:
    """The rule for trusted partners: below their limit, and nothing in its way."""
    price = order.price
    ready = order.stage is Stage.PRICE_CALCULATED and price.state is PriceState.READY
    plain = ready and is_made_here(order.home)
    if not plain or order.hold or price.consent_needed or order.partner_id is None:
        return None
    limit = _limit(work, order.partner_id)
    if limit is None or price.total is None or price.total.amount >= limit:
        return None
    return f"partner limit {limit}"


def _limit(work: SqlWork, partner_id: PartnerId) -> Decimal | None:
    return work.access.partner(partner_id).auto_approve_below


def _holder(ids: Ids) -> str:
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{ids.token(8)}"
