"""The store for a command: beside a running server or without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orderkeep.config import Settings, database_path
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import Refused

if TYPE_CHECKING:
    from orderkeep.adapters.sql.ledger import SqlLedger
    from orderkeep.adapters.sql.postgres.ledger import PgLedger

    AnyLedger = SqlLedger | PgLedger


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Any]:
    """Open the database of the settings, SQLite or PostgreSQL, and close it again.

    Raises:
        Refused: there is none yet, or it is not where the settings say.
        SchemaBehind: it has to be migrated first.
        StoreMisconfigured, StoreBusy: it cannot be used or reached.
    """
    from orderkeep.adapters.sql.opening import opened as store_opened

    _must_exist(settings)
    async with store_opened(settings.database_url, Bells()) as store:
        yield store


def _must_exist(settings: Settings) -> None:
    # SQLite would make an empty one, also in a folder that somebody went to by mistake.
    if settings.database_url.startswith("sqlite:") and not database_path(settings).is_file():
        raise Refused(f"There is no database {database_path(settings)}.")


def ledger_of(settings: Settings) -> "AnyLedger":
    """The ledger's own view of the database, which shares no code with the store.

    Raises:
        NotReadable, SchemaBehind, StoreMisconfigured, StoreBusy: it cannot be looked at; says why.
    """
    if settings.database_url.startswith("sqlite:"):
        from orderkeep.adapters.sql.ledger import SqlLedger

        return SqlLedger(database_path(settings))
    from orderkeep.adapters.sql.postgres.ledger import PgLedger

    return PgLedger(settings.database_url)
