"""The store for a command: beside a running server or without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orderkeep.config import Settings
from orderkeep.kernel.bells import Bells


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Any]:
    """Open the database of the settings, SQLite or PostgreSQL, and close it again.

    Raises:
        SchemaBehind: it has to be migrated first.
        StoreMisconfigured, StoreBusy: it cannot be used or reached.
    """
    if settings.database_url.startswith("sqlite:"):
        from orderkeep.adapters.sql.store import open_store

        async with open_store(settings.database_url, Bells()) as store:
            yield store
    else:
        from orderkeep.adapters.sql.postgres.store import open_store as open_shared

        async with await open_shared(settings.database_url, Bells()) as shared:
            yield shared
