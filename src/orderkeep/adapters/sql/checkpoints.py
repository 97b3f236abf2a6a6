"""Moving commits from the write-ahead log into the database, beside the commits."""

import sqlite3
import threading
from pathlib import Path

from orderkeep.adapters.sql.connections import Link, open_link

EVERY_S = 1.0
LARGE_WAL_BYTES = 64 * 1024 * 1024
"""From here on the writer itself closes the gap between two batches, so that the log is reused."""

SHRINK_WAL_BYTES = 4 * LARGE_WAL_BYTES
"""A log of this size is given back to the disk when nothing is being written."""

_TRUNCATE_PATIENCE_MS = 50


class Checkpoints:
    """A thread that checkpoints each second without making a commit wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="store-checkpoints", daemon=True)
        self._last_size = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wal_bytes(self) -> int:
        """How large the write-ahead log is."""
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _serve(self) -> None:
        link = open_link(self._path)
        link.raw.execute(f"PRAGMA busy_timeout={_TRUNCATE_PATIENCE_MS}")
        while not self._stop.wait(EVERY_S):
            self._tick(link)
        link.close()

    def _tick(self, link: Link) -> None:
        try:
            checkpoint(link.raw, "PASSIVE")
            if self.wal_bytes() > SHRINK_WAL_BYTES:
                checkpoint(link.raw, "TRUNCATE")
        except sqlite3.OperationalError:
            return  # a reader or the disk is in the way; a second later is as good


def checkpoint(raw: sqlite3.Connection, mode: str) -> None:
    """Move what is committed into the database file."""
    raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
