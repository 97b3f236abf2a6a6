"""The objects a process is made of, built once from the settings."""

import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.files import LocalFiles
from orderkeep.adapters.mes_floor import FloorMes
from orderkeep.adapters.mes_http import MesHttp, MesHttpSettings
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.opening import AnyStore, is_shared, migrate, opened
from orderkeep.adapters.sql.tally import tally
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.dispatch import Bridge, BridgeSettings
from orderkeep.bridge.gate import GatedMes
from orderkeep.bridge.hearing import WORDS, Hearing
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.pausing import Terms
from orderkeep.bridge.ports import RECALLED, Capabilities, Mes
from orderkeep.bridge.telling import DESTINATION, Teller
from orderkeep.bridge.windows import Maintenance, read_windows
from orderkeep.config import Settings, database_path, files_path
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.relay import Relay
from orderkeep.delivery.replay import Replayer
from orderkeep.delivery.search import Search
from orderkeep.delivery.tally import Counting
from orderkeep.doctor.snapshot import Sample
from orderkeep.files.leftovers import Leftovers
from orderkeep.files.lookup import FileLookup
from orderkeep.files.upload import Files
from orderkeep.floor.workshop import Workshop
from orderkeep.intake.accept import Intake
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import Clock, SystemClock
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.balance import Carried
from orderkeep.ledger.keeping import Keeper, Tables
from orderkeep.ledger.reconcile import Kind, Repair, Ways
from orderkeep.ledger.reconciler import Reconciler, ReconcileSettings
from orderkeep.ledger.repairing import Repairs
from orderkeep.ledger.worklist import LostLooks, Worklist
from orderkeep.orders.announce import routes
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.desk import PriceDesk
from orderkeep.quoting.price_book import PriceBook, example_book, read_price_book
from orderkeep.quoting.workers import Workers
from orderkeep.roles.replaying import replayer_of
from orderkeep.sla.watch import Watch

if TYPE_CHECKING:
    from orderkeep.adapters.kafka.transport import KafkaTransport
    from orderkeep.adapters.rabbitmq.transport import RabbitTransport
    from orderkeep.adapters.rabbitmq.watch import BrokerWatch


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
    balances: Keeper
    reconciler: Reconciler
    worklist: Worklist
    lost_looks: LostLooks


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
    mes = await _mes(settings, workshop, clock, stack)
    master = OrderMaster(store, clock, ids, policy)
    # Whoever can see that we live can also see which work orders we hold.
    lives = store.presence
    pace, holder = bridge_settings(settings), lives.holder if lives else _holder(ids)
    bridge = Bridge(store.behind, master, mes, clock, pace, holder, lives)
    asking = Asking(GatedMes(mes, bridge.gate), bridge.gate)
    transport, search = carrying(settings, store, clock, bells)
    broker = broker_watch(settings, transport)
    counting = Counting(
        store,
        lambda work, newest, before: tally(
            work, routes(floor=settings.mes == "floor"), newest, before
        ),
        lambda: broker.books if broker else None,
        clock,
    )
    desk = PriceDesk(store.behind, master, workers, keeper, book, auto_approval, clock)
    max_bytes = settings.largest_file_mib * 1024 * 1024
    lookup = FileLookup(store)
    tables = Tables(
        lambda work, now: ledger_of(work).balance(now),
        lambda work, no: facts_of(work, no, policy),
    )
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
        intake=Intake(
            store,
            store.accepting(policy),
            lambda: catalogue(book),
            promise(policy),
            clock,
            ids,
            lookup,
        ),
        workshop=workshop,
        mes=mes,
        bridge=bridge,
        transport=transport,
        relay=Relay(store.behind, transport, clock),
        counting=counting,
        broker=broker,
        search=search,
        inboxes=(
            InboxWorker(store.behind, "quoting", desk.handle, clock, transport.traffic),
            InboxWorker(store.behind, "bridge", bridge.handle, clock, transport.traffic),
            InboxWorker(store.behind, "floor", workshop.order_cancelled, clock, transport.traffic),
        ),
        desk=desk,
        watch=Watch(store.behind, master, clock),
        replayer=replayer_of(settings, store, clock, ids),
        leftovers=Leftovers(store.behind, keeper, clock),
        balances=Keeper(
            store, tables, clock, lambda: monotonic() * 1000, partial(carried, counting)
        ),
        reconciler=reconciler_of(settings, store, master, asking, clock),
        worklist=Worklist(store, clock, asks=settings.mes == "http"),
        lost_looks=LostLooks(store.behind, asking, clock),
    )


def carrying(
    settings: Settings, store: AnyStore, clock: Clock, bells: Bells
) -> "tuple[EmbeddedTransport | RabbitTransport | KafkaTransport, Search | None]":
    """What carries envelopes, not open yet, and who looks for those that it lost.

    Raises:
        Invalid: what RabbitMQ or Kafka needs is not installed.
    """
    wanted = routes(floor=settings.mes == "floor")
    if settings.transport_url == "embedded:":
        return EmbeddedTransport(store.behind, wanted, clock), None
    back = partial(bells.ring, "relay")
    if settings.transport_url.startswith("kafka"):
        kafka = _kafka()(settings.transport_url, store.behind, wanted, clock, back=back)
        return kafka, Search(store.behind, wanted, kafka.is_quiet, clock)
    transport = _rabbitmq()(
        settings.transport_url,
        store.behind,
        wanted,
        clock,
        Random(),  # noqa: S311  # How long to wait before connecting anew is no secret.
        back=back,
    )
    return transport, Search(store.behind, wanted, transport.is_quiet, clock)


def carried(counting: Counting) -> Carried | None:
    """The newest count of envelopes, as the balance shows it."""
    if counting.last is None:
        return None
    flows = counting.last.flows
    return Carried(
        published=sum(one.published for one in flows),
        consumed=sum(one.consumed for one in flows),
        parked=sum(one.parked for one in flows),
    )


def broker_watch(settings: Settings, transport: object) -> "BrokerWatch | None":
    """Whoever looks at RabbitMQ from outside; nobody, where we may not ask."""
    url = settings.broker_management_url
    if url is None or not settings.transport_url.startswith("amqp"):
        return None
    from orderkeep.adapters.rabbitmq.transport import RabbitTransport as Chosen  # noqa: PLC0415
    from orderkeep.adapters.rabbitmq.watch import BrokerWatch as Watching  # noqa: PLC0415
    from orderkeep.adapters.rabbitmq_management import RabbitManagement  # noqa: PLC0415

    def look() -> Sample:
        with RabbitManagement(url) as broker:
            return broker.sample()

    assert isinstance(transport, Chosen)  # noqa: S101  # The address says so.
    wanted = routes(floor=settings.mes == "floor")
    vhost = unquote(urlsplit(settings.transport_url).path.removeprefix("/")) or "/"
    return Watching(look, wanted, vhost, transport.see)


def _rabbitmq() -> "type[RabbitTransport]":
    """Imported when asked for: whoever runs without a broker needs none of its packages."""
    try:
        from orderkeep.adapters.rabbitmq.transport import (  # noqa: PLC0415
            RabbitTransport as Chosen,
        )
    except ImportError as missing:
        sentence = f"RabbitMQ needs `pip install orderkeep[scale]`: {missing}"
        raise Invalid([Fault("ORDERKEEP_TRANSPORT_URL", "not-installed", sentence)]) from missing
    return Chosen


def _kafka() -> "type[KafkaTransport]":
    """As RabbitMQ's."""
    try:
        from orderkeep.adapters.kafka.transport import KafkaTransport as Chosen  # noqa: PLC0415
    except ImportError as missing:
        sentence = f"Kafka needs `pip install orderkeep[kafka]`: {missing}"
        raise Invalid([Fault("ORDERKEEP_TRANSPORT_URL", "not-installed", sentence)]) from missing
    return Chosen


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
    plain = order.stage is Stage.PRICE_CALCULATED and price.state is PriceState.READY
    if not plain or order.hold or price.consent_needed or order.partner_id is None:
        return None
    limit = _limit(work, order.partner_id)
    if limit is None or price.total is None or price.total.amount >= limit:
        return None
    return f"partner limit {limit}"


def _limit(work: SqlWork, partner_id: PartnerId) -> Decimal | None:
    return work.access.partner(partner_id).auto_approve_below


async def _mes(settings: Settings, workshop: Workshop, clock: Clock, stack: AsyncExitStack) -> Mes:
    if settings.mes == "floor":
        return FloorMes(workshop, clock)
    return await stack.enter_async_context(MesHttp(mes_http_settings(settings)))


def mes_http_settings(settings: Settings) -> MesHttpSettings:
    """The HTTP adapter's settings from ours."""
    given = settings.mes_http
    name, _, value = (given.auth_header or "").partition(":")
    return MesHttpSettings(
        base_url=settings.mes_url or "",
        capabilities=Capabilities(
            idempotency=given.idempotency,
            lookup=given.lookup,
            recall=given.recall,
            listing=given.listing,
            visibility_lag=given.visibility_lag,
            # What says by itself how far it has come is not asked besides: two roads for the same
            # words would have one overtake the other.
            tells=given.changes or given.callback_secret is not None,
        ),
        connect_timeout=given.connect_timeout,
        # Waiting for a free connection must not eat up the whole call.
        pool_timeout=min(timedelta(seconds=5), given.total_timeout / 2),
        read_timeout=given.read_timeout,
        total_timeout=given.total_timeout,
        recalled_statuses=_recalled_words(given.words),
        auth_header=(name.strip(), value.strip()) if name else None,
        **given.names,  # type: ignore[arg-type]  # Names of paths and fields: all texts.
    )


def _recalled_words(words: Mapping[str, str]) -> frozenset[str]:
    """This MES's words for a job that will not be made: the usual ones, and what we were told."""
    return (RECALLED - words.keys()) | {
        theirs for theirs, ours in words.items() if ours == "recalled"
    }


def bridge_settings(settings: Settings) -> BridgeSettings:
    """How the bridge paces itself."""
    given = settings.mes_http
    words = tuple(given.words.items())
    return BridgeSettings(
        concurrency=given.concurrency,
        poll=given.poll,
        pause=given.pause,
        words=WORDS + words,
        maintenance=maintenance_of(settings),
        longest=given.total_timeout + timedelta(seconds=10),
    )


def maintenance_of(settings: Settings) -> Maintenance:
    """When the MES is being worked on, by the clock on its wall."""
    windows = read_windows(settings.mes_http.maintenance or "")
    return Maintenance(windows, ZoneInfo(settings.time_zone))


def terms(settings: Settings) -> dict[str, Terms]:
    """Every foreign system that this installation calls, by its name."""
    given = settings.mes_http
    bounds = Bounds(given.concurrency, given.pause)
    return {DESTINATION: Terms(bounds, maintenance_of(settings), given.title)}


def reconciler_of(
    settings: Settings, store: AnyStore, master: OrderMaster, mes: Asking, clock: Clock
) -> Reconciler:
    """The standing comparison with the MES."""
    given, pace, lag = (
        settings.reconcile,
        bridge_settings(settings),
        mes.capabilities.visibility_lag,
    )
    words = dict(pace.words)
    ways = Ways(lag, words, _recalled_words(settings.mes_http.words), given.stuck_after)
    teller = Teller(master, clock)
    hearing = Hearing(teller, words, pace.poll, lag)
    # Our own floor is in the same database: it is compared when somebody asks.
    every = given.every if settings.mes == "http" else timedelta(0)
    policy = {
        Kind.MISSING_THERE: Repair(given.missing_there),
        Kind.DIFFERS: Repair(given.differs),
    }
    return Reconciler(
        store.behind,
        mes,
        DESTINATION,
        ways,
        ReconcileSettings(every, given.lookups, policy),
        Repairs(store.behind, teller, hearing, ways),
        clock,
    )


def _holder(ids: Ids) -> str:
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{ids.token(8)}"
