"""Where a benchmark keeps its orders: a file of SQLite, or a database of PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orderkeep.kernel.bells import Bells


@dataclass(frozen=True, slots=True)
class Place:
    """A database of its own, and a folder for whatever else there is."""

    url: str
    folder: Path

    @property
    def is_sqlite(self) -> bool:
        """Whether one process alone serves it."""
        return self.url.startswith("sqlite:")


def sqlite(database: Path) -> Place:
    """The place of a file."""
    return Place(f"sqlite:///{database}", database.parent)


async def migrated(place: Place) -> None:
    """Make its tables."""
    if place.is_sqlite:
        from orderkeep.adapters.sql.migrate import migrate

        migrate(place.url)
    else:
        from orderkeep.adapters.sql.postgres.migrate import migrate as migrate_shared

        await migrate_shared(place.url)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Any]:
    """Its store, as a server opens it."""
    if place.is_sqlite:
        from orderkeep.adapters.sql.store import open_store

        async with open_store(place.url, Bells(), serve=True) as store:
            yield store
    else:
        from orderkeep.adapters.sql.postgres.store import open_store as open_shared

        async with await open_shared(place.url, Bells()) as shared:
            yield shared
