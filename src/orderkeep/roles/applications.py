"""The two applications: the public door, and the staff's office."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from orderkeep.access.keys import KeyHolder
from orderkeep.adapters.mes_http.answers import Reader
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.foreign import read_table
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.crm_deciding import CrmDeciding
from orderkeep.bridge.pausing import Pausing
from orderkeep.bridge.said import heard
from orderkeep.bridge.sorting import Sorting
from orderkeep.bridge.telling import DESTINATION
from orderkeep.bridge.tray import UNREADABLE, Unknown
from orderkeep.config import Settings
from orderkeep.delivery.envelope import Envelope
from orderkeep.http.door.app import DoorSettings, build_door
from orderkeep.http.door.callbacks import Call, Callbacks, Caller
from orderkeep.http.office.app import OfficeApp, build_office
from orderkeep.http.office.parts import (
    Catalogue,
    DeadLetterDesk,
    LedgerDesk,
    LostDesk,
    OfficeSettings,
    SourceDesk,
)
from orderkeep.http.peers import Proxies
from orderkeep.intake.drafts import Drafts
from orderkeep.intake.homes import Moving
from orderkeep.intake.taking_over import TakingOver
from orderkeep.ledger.already_done import schema_of
from orderkeep.ledger.lost import Table
from orderkeep.observe.numbers import Numbers
from orderkeep.quoting.price_book import PriceBook
from orderkeep.roles.crm import crm_caller
from orderkeep.roles.mes import mes_http_settings, terms
from orderkeep.roles.parts import Parts
from orderkeep.roles.rules import catalogue, promise


def door_app(parts: Parts, leaving: Callable[[], bool] = lambda: False) -> Any:
    """What the public reaches, and nothing behind it; who is ``leaving`` is not ready."""

    async def find_key(key_sha256: str) -> KeyHolder | None:
        return await parts.store.read(lambda work: work.access.key_holder(key_sha256))

    async def ready() -> bool:
        return parts.store.is_fit and not leaving()

    return build_door(
        store=parts.store,
        intake=parts.intake,
        files=parts.files,
        master=parts.master,
        find_key=find_key,
        clock=parts.clock,
        ids=parts.ids,
        ready=ready,
        settings=DoorSettings(proxies=proxies(parts.settings)),
        callbacks=_callbacks(parts),
        admission=parts.admission,
        others=parts.store.telling,
        sheds=True,
    )


def _callbacks(parts: Parts) -> dict[str, Callbacks]:
    """Where foreign systems call back, those that have a secret to sign with."""
    callers = {DESTINATION: _mes_caller(parts.settings), CRM: crm_caller(parts.settings)}
    return {
        name: Callbacks(parts.store, parts.clock, caller)
        for name, caller in callers.items()
        if caller is not None
    }


def _mes_caller(settings: Settings) -> Caller | None:
    secret = settings.mes_http.callback_secret
    if settings.mes != "http" or secret is None:
        return None
    job_in = Reader(mes_http_settings(settings)).job

    def read(call: Call, now: datetime) -> Envelope | Unknown:
        job = job_in(call.body)
        if job is None:
            return Unknown(DESTINATION, UNREADABLE, call.body, call.event_id, call.headers)
        return heard(DESTINATION, call.said_as, job, now)

    return Caller(secret, read)


def proxies(settings: Settings) -> Proxies:
    """Those whose word on where a request comes from is believed."""
    return Proxies(settings.trusted_proxies or "")


def office_app(
    parts: Parts, leaving: Callable[[], bool] = lambda: False, numbers: Numbers | None = None
) -> OfficeApp:
    """What the staff reaches; ``drain`` ends its open streams, who is ``leaving`` is not ready."""
    settings = parts.settings
    on_floor = settings.mes == "floor"
    return build_office(
        store=parts.store,
        master=parts.master,
        claims=parts.store.claiming(),
        passwords=Argon2Passwords(),
        clock=parts.clock,
        ids=parts.ids,
        policy=parts.policy,
        settings=OfficeSettings(
            mes=settings.mes,
            currency=parts.book.currency,
            secure_cookies=settings.office_https,
            static_dir=_static(),
            leaving=leaving,
            proxies=proxies(settings),
        ),
        floor=parts.workshop if on_floor else None,
        decisions=parts.bridge,
        intake=parts.intake,
        drafts=Drafts(
            parts.store,
            parts.master,
            lambda: catalogue(parts.book),
            promise(parts.policy),
            parts.clock,
        ),
        files=parts.files,
        catalogue=lambda: shown(parts.book),
        carried=parts.transport,
        numbers=numbers,
        counting=parts.counting,
        dead_letters=DeadLetterDesk(parts.replayer, schema_of),
        pausing=Pausing(parts.store, parts.clock, terms(settings)),
        sources=SourceDesk(
            TakingOver(parts.store, settings.sources, parts.clock, parts.ids),
            Moving(parts.store, settings.sources, parts.clock),
        ),
        sorting=Sorting(parts.store, parts.master, parts.clock),
        crm=CrmDeciding(parts.store, parts.clock) if parts.crm is not None else None,
        lost=LostDesk(
            worklist=parts.worklist,
            view=_lost_view(settings),
            view_name=settings.lost.source if settings.lost.query else None,
        ),
        ledger=LedgerDesk(
            balances=parts.balances,
            reconciler=parts.reconciler,
            facts=lambda work, no: facts_of(work, no, parts.policy),
        ),
    )


def _lost_view(settings: Settings) -> Callable[[], Awaitable[Table]] | None:
    url, query = settings.lost.database_url, settings.lost.query
    if url is None or query is None:
        return None
    return lambda: read_table(url, query)


def shown(book: PriceBook) -> Catalogue:
    """The price book as far as an order by hand needs it."""
    return Catalogue(
        book_version=book.version,
        label=book.label,
        materials=[
            {"code": code, "title": {"ru": one.title.ru, "en": one.title.en}}
            for code, one in book.materials.items()
        ],
        skus=[
            {
                "sku": sku,
                "title": {"ru": one.title.ru, "en": one.title.en},
                "price": {"amount": str(one.price), "currency": book.currency},
            }
            for sku, one in book.skus.items()
        ],
    )


def _static() -> Path:
    return Path(str(resources.files("orderkeep.http"))) / "static"
