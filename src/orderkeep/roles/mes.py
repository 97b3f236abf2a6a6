"""The MES's parts: where it is, how it is called, and what it is compared by."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

from orderkeep.adapters.mes_floor import FloorMes
from orderkeep.adapters.mes_http import MesHttp, MesHttpSettings
from orderkeep.adapters.sql.opening import AnyStore
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.dispatch import BridgeSettings
from orderkeep.bridge.hearing import WORDS, Hearing
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.pausing import Terms
from orderkeep.bridge.ports import RECALLED, Capabilities, Mes
from orderkeep.bridge.telling import DESTINATION, Teller
from orderkeep.config import Settings
from orderkeep.floor.workshop import Workshop
from orderkeep.kernel.clock import Clock
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.reconcile import Kind, Repair, Ways
from orderkeep.ledger.reconciler import Reconciler, ReconcileSettings
from orderkeep.ledger.repairing import Repairs
from orderkeep.orders.master import OrderMaster
from orderkeep.roles.crm import crm_terms
from orderkeep.roles.far import far_terms, maintenance_of


async def mes_of(
    settings: Settings, workshop: Workshop, clock: Clock, stack: AsyncExitStack
) -> Mes:
    """The MES, open until the stack closes: our own floor, or one behind HTTP."""
    if settings.mes == "floor":
        return FloorMes(workshop, clock)
    return await stack.enter_async_context(MesHttp(mes_http_settings(settings)))


def mes_http_settings(settings: Settings) -> MesHttpSettings:
    """The HTTP adapter's settings from ours."""
    given = settings.mes_http
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
        recalled_statuses=_recalled_words(given.words),
        **far_terms(given),
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
        maintenance=maintenance_of(given, settings.time_zone),
        limited=settings.mes == "http",
        longest=given.total_timeout + timedelta(seconds=10),
    )


def terms(settings: Settings) -> dict[str, Terms]:
    """Every foreign system that this installation calls, by its name."""
    given = settings.mes_http
    bounds = Bounds(given.concurrency, given.pause)
    away = maintenance_of(given, settings.time_zone)
    known = {DESTINATION: Terms(bounds, away, given.title)}
    return known | ({CRM: crm_terms(settings)} if settings.crm.url is not None else {})


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
