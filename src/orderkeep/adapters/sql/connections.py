"""SQLite connections that cannot forget a commit: every setting is set, then read back."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, StaticPool, create_engine

from orderkeep.kernel.errors import OrderkeepError
from orderkeep.orders.view import BoardRow

CACHE_KIB = 64 * 1024
CACHED_STATEMENTS = 1024
BUSY_TIMEOUT_S = 5.0
_FULL = 2

SCHEME = "sqlite:///"


class StoreMisconfigured(OrderkeepError):
    """The database cannot be used as it is set up; the message says what to change."""


def database_path(url: str) -> Path:
    """The file behind ``sqlite:///path``.

    Raises:
        StoreMisconfigured: the address names something else.
    """
    if not url.startswith(SCHEME) or len(url) == len(SCHEME):
        scheme = url.partition(":")[0]
        raise StoreMisconfigured(
            f"The database address must look like sqlite:///path/to/orderkeep.db, not {scheme}:…;"
            " PostgreSQL comes with the scale-out profile."
        )
    return Path(url.removeprefix(SCHEME))


class Link:
    """One SQLite connection, seen bare (``raw``) and through SQLAlchemy Core (``core``).

    Transactions are driven by us on ``raw``; never call begin, commit or close on ``core``.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        # Now, outside any transaction: SQLAlchemy's first look at a connection rolls back.
        self.core = _core(raw)
        self.rows: dict[int, BoardRow] | None = None
        """Rows read before, by the order's number, where a reader keeps them."""
        self.watched = False
        """Whether the rows that change are asked for after the commit."""

    def close(self) -> None:
        """Close both views; what was not committed is gone."""
        self.raw.close()


def open_link(path: Path, *, read_only: bool = False) -> Link:
    """Open a connection whose commits are on disk when they return.

    Raises:
        StoreMisconfigured: the file system does not allow write-ahead logging.
    """
    raw = sqlite3.connect(
        path,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,  # the store sees to it that one thread uses it at a time
        cached_statements=CACHED_STATEMENTS,
    )
    try:
        _set_up(raw)
        _verify(raw, path)
        if read_only:
            raw.execute("PRAGMA query_only=ON")
    except BaseException:
        raw.close()
        raise
    return Link(raw)


def memory_link() -> Link:
    """A database in memory, for the simulation."""
    raw = sqlite3.connect(
        ":memory:",
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    raw.execute("PRAGMA foreign_keys=ON")
    return Link(raw)


def _core(raw: sqlite3.Connection) -> Connection:
    engine = create_engine(
        "sqlite://",
        creator=lambda: raw,
        poolclass=StaticPool,
        pool_reset_on_return=None,  # a pool that rolls back would undo the whole batch
        hide_parameters=True,  # its errors are logged, and what was to be written may be personal
    )
    return engine.connect()


def facts(raw: sqlite3.Connection) -> dict[str, str | int]:
    """The settings that decide whether an acknowledged order survives a power cut."""
    return {
        "journal_mode": str(raw.execute("PRAGMA journal_mode").fetchone()[0]),
        "synchronous": int(raw.execute("PRAGMA synchronous").fetchone()[0]),
        "foreign_keys": int(raw.execute("PRAGMA foreign_keys").fetchone()[0]),
    }


def _set_up(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA journal_mode=WAL")
    # NORMAL, the usual advice, loses acknowledged orders at a power cut.
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    raw.execute("PRAGMA temp_store=MEMORY")
    # Checkpoints belong to their own thread: inside a commit they cost every waiting client.
    raw.execute("PRAGMA wal_autocheckpoint=0")


def _verify(raw: sqlite3.Connection, path: Path) -> None:
    found = facts(raw)
    if found == {"journal_mode": "wal", "synchronous": _FULL, "foreign_keys": 1}:
        return
    raise StoreMisconfigured(
        f"{path} cannot be used: it needs journal_mode=wal and synchronous=FULL ({_FULL}), but has"
        f" journal_mode={found['journal_mode']} and synchronous={found['synchronous']}."
        " Put the database on a local disk."
    )
