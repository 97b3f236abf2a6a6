"""Either database behind one way in: the address says which."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from orderkeep.adapters.sql import migrate as sqlite_schema
from orderkeep.adapters.sql import store as sqlite
from orderkeep.adapters.sql.store import SqliteStore
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import Fault, Invalid

if TYPE_CHECKING:
    from orderkeep.adapters.sql.postgres.store import PgStore

AnyStore: TypeAlias = "SqliteStore | PgStore"


def is_shared(url: str) -> bool:
    """Whether several processes may serve this database."""
    return not url.startswith("sqlite:")


async def migrate(url: str) -> str:
    """Bring the database to the schema of this program; returns the version reached.

    Raises:
        StoreMisconfigured, StoreBusy: the address or the server will not do.
    """
    if not is_shared(url):
        return sqlite_schema.migrate(url)
    _need_driver()
    from orderkeep.adapters.sql.postgres.migrate import migrate as shared  # noqa: PLC0415  # Not installed by all.

    return await shared(url)


@asynccontextmanager
async def opened(url: str, bells: Bells, *, serve: bool = False) -> AsyncIterator[AnyStore]:
    """Open the store, and close it in the end.

    Args:
        url: where it is; it must have been migrated.
        bells: rung after each commit that woke a topic, in whichever process.
        serve: whether this process serves the database, and does not only look at it.

    Raises:
        AlreadyRunning: SQLite has one server, and it is another process.
        SchemaBehind: the database has to be migrated first.
        StoreMisconfigured, StoreBusy: the address or the server will not do.
    """
    if not is_shared(url):
        async with sqlite.open_store(url, bells, serve=serve) as store:
            yield store
        return
    _need_driver()
    from orderkeep.adapters.sql.postgres.store import open_store  # noqa: PLC0415  # Not installed by all.

    async with await open_store(url, bells, serve=serve) as shared:
        yield shared


def _need_driver() -> None:
    """Whoever runs on SQLite has none of PostgreSQL's packages.

    Raises:
        Invalid: they are not installed.
    """
    try:
        import asyncpg  # noqa: F401, PLC0415  # Not installed by all.
    except ImportError as missing:
        sentence = f"PostgreSQL needs `pip install orderkeep[scale]`: {missing}"
        raise Invalid([Fault("ORDERKEEP_DATABASE_URL", "not-installed", sentence)]) from missing
