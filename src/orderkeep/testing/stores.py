"""Every store there is, opened empty: what the contract suites are held to."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.postgres import store as postgres_store
from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.kernel.bells import Bells
from orderkeep.testing.store import SimStore

Store = SqliteStore | SimStore | PgStore

IN_MEMORY, ON_DISK, ON_POSTGRESQL = "in memory", "on disk", "on PostgreSQL"
STORES = (ON_DISK, IN_MEMORY, ON_POSTGRESQL)


@contextmanager
def opened(
    where: str, folder: Path, postgres_url: Callable[[], str], runner: asyncio.Runner, bells: Bells
) -> Iterator[Store]:
    """The store of one of ``STORES``; ``postgres_url`` is asked only where it is needed."""
    store: Store
    if where == IN_MEMORY:
        store = SimStore(bells)
    elif where == ON_DISK:
        url = f"sqlite:///{folder / 'orderkeep.db'}"
        migrate(url)
        store = open_store(url, bells)
    else:
        store = runner.run(postgres_store.open_store(postgres_url(), bells))
    yield store
    runner.run(store.close())
