"""The CRM's parts, where there is one."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from orderkeep.adapters.crm_http import CrmHttp, CrmHttpSettings
from orderkeep.adapters.crm_http.answers import Reader
from orderkeep.bridge.crm import CrmCapabilities, Said
from orderkeep.bridge.crm_comparing import CrmComparing
from orderkeep.bridge.crm_desk import CrmDesk
from orderkeep.bridge.crm_line import CrmLine, CrmSettings
from orderkeep.bridge.feed import Feed
from orderkeep.bridge.lives import Lives
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.pausing import Terms
from orderkeep.bridge.said import command_of
from orderkeep.bridge.tray import Unknown
from orderkeep.bridge.work import BridgeWork
from orderkeep.config import Settings
from orderkeep.delivery.envelope import Envelope
from orderkeep.http.door.callbacks import Call, Caller
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.orders.master import OrderMaster
from orderkeep.roles.far import far_terms, maintenance_of


@dataclass(frozen=True, slots=True)
class CrmParts:
    """What serves the CRM: its inbox, the line in front of it, and its feed of commands."""

    desk: CrmDesk
    line: CrmLine
    feed: Feed[Said] | None
    comparing: CrmComparing


async def crm_parts(
    settings: Settings,
    store: Store[BridgeWork],
    master: OrderMaster,
    clock: Clock,
    holder: str,
    lives: Lives | None,
    stack: AsyncExitStack,
) -> CrmParts | None:
    """The CRM's parts; None where there is none."""
    if settings.crm.url is None:
        return None
    crm = await stack.enter_async_context(CrmHttp(crm_http_settings(settings)))
    line = CrmLine(store, crm, clock, line_settings(settings), holder, lives)
    if line.places is not None:
        stack.push_async_callback(line.places.leave)
    feed = None
    if settings.crm.commands:
        feed = Feed(
            store,
            line.gate,
            clock,
            lambda cursor: line.gate.call(crm.commands(cursor)),
            lambda said, _, now: command_of(said, now),
        )
    comparing = CrmComparing(
        store,
        crm,
        line.gate,
        clock,
        Reader(crm_http_settings(settings)).stage_here,
        settings.crm.compare_every,
    )
    return CrmParts(CrmDesk(store, master, clock), line, feed, comparing)


def line_settings(settings: Settings) -> CrmSettings:
    """How telling paces itself."""
    given = settings.crm
    return CrmSettings(
        given.concurrency,
        given.pause,
        maintenance_of(given, settings.time_zone),
        longest=given.total_timeout + timedelta(seconds=10),
        # What was given up after so long is believed to go on over there for as long again.
        lingering=given.read_timeout,
    )


def crm_terms(settings: Settings) -> Terms:
    """How the CRM may be called, for the page of foreign systems."""
    pace = line_settings(settings)
    bounds = Bounds(pace.concurrency, pace.pause)
    return Terms(bounds, pace.maintenance, settings.crm.title, lambda work: work.tellings.waiting())


def crm_http_settings(settings: Settings) -> CrmHttpSettings:
    """The HTTP adapter's settings from ours."""
    given = settings.crm
    return CrmHttpSettings(
        base_url=given.url or "",
        capabilities=CrmCapabilities(lookup=given.lookup, commands=given.commands),
        stages={"CANCELLED": "CLOSED", **given.stages},
        reasons=given.reasons,
        **far_terms(given),
    )


def crm_caller(settings: Settings) -> Caller | None:
    """How the CRM calls back, if it has a secret to sign with."""
    secret = settings.crm.callback_secret
    if settings.crm.url is None or secret is None:
        return None
    reader = Reader(crm_http_settings(settings))

    def read(call: Call, now: datetime) -> Envelope | Unknown:
        return command_of(reader.said(call.body, call.event_id), now)

    return Caller(secret, read)
