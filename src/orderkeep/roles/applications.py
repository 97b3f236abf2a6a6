"""The two applications: the public door, and the staff's office."""

from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from orderkeep.access.keys import KeyHolder
from orderkeep.adapters.mes_http.answers import Reader
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.foreign import read_table
from orderkeep.bridge.pausing import Pausing
from orderkeep.bridge.telling import DESTINATION
from orderkeep.config import Settings
from orderkeep.http.door.app import build_door
from orderkeep.http.door.callbacks import Callbacks, Caller
from orderkeep.http.office.app import OfficeApp, build_office
from orderkeep.http.office.parts import (
    Catalogue,
    DeadLetterDesk,
    LedgerDesk,
    LostDesk,
    OfficeSettings,
)
from orderkeep.intake.drafts import Drafts
from orderkeep.ledger.already_done import schema_of
from orderkeep.ledger.lost import Table
from orderkeep.quoting.price_book import PriceBook
from orderkeep.roles.parts import Parts, catalogue, mes_http_settings, promise, terms


def door_app(parts: Parts) -> Any:
    """What the public reaches, and nothing behind it."""

    async def find_key(key_sha256: str) -> KeyHolder | None:
        return await parts.store.read(lambda work: work.access.key_holder(key_sha256))

    async def ready() -> bool:
        return parts.store.is_fit

    return build_door(
        store=parts.store,
        intake=parts.intake,
        files=parts.files,
        master=parts.master,
        find_key=find_key,
        clock=parts.clock,
        ids=parts.ids,
        ready=ready,
        callbacks=_callbacks(parts),
    )


def _callbacks(parts: Parts) -> Callbacks | None:
    """Where the MES calls back, if it has a secret to sign with."""
    settings = parts.settings
    if settings.mes != "http" or settings.mes_http.callback_secret is None:
        return None
    read = Reader(mes_http_settings(settings)).job
    caller = Caller(DESTINATION, settings.mes_http.callback_secret, read)
    return Callbacks(parts.store, parts.clock, caller)


def office_app(parts: Parts) -> OfficeApp:
    """What the staff reaches; ``drain`` ends its open streams."""
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
        counting=parts.counting,
        dead_letters=DeadLetterDesk(parts.replayer, schema_of),
        pausing=Pausing(parts.store, parts.clock, terms(settings)),
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
