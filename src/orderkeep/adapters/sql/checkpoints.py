"""Moving commits from the write-ahead log into the database, beside the commits."""

import sqlite3
import threading
from pathlib import Path

import structlog

from orderkeep.adapters.sql.connections import Link, open_link
from orderkeep.adapters.sql.place import Place

EVERY_S = 0.25
LONG_LOG_BYTES = 16 * 1024 * 1024
"""A log of this length is to be written again from its start: syncing a growing file is slow."""

SHRINK_WAL_BYTES = 256 * 1024 * 1024
"""A log file of this size is given back to the disk when nothing is being written."""

log = structlog.get_logger()

_TRUNCATE_PATIENCE_MS = 50
_PAGE_BYTES = 4096


class Checkpoints:
    """A thread that checkpoints a few times a second without making a commit wait.

    The log starts again only when it has been moved to its very end, and under load there is
    always a commit more; so the writer moves the last few pages itself, when ``nearly_done``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="store-checkpoints", daemon=True)
        self._place = Place(path)
        self.nearly_done = False
        self.in_place = True
        """Whether the database is still where it was opened; looked at a few times a second."""

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
            self._look()
            self._tick(link)
        link.close()

    def _look(self) -> None:
        in_place = self._place.holds()
        if in_place is not self.in_place:
            log.error("store.file_back" if in_place else "store.file_gone", path=str(self._path))
        self.in_place = in_place

    def _tick(self, link: Link) -> None:
        try:
            if checkpoint(link.raw, "PASSIVE") > LONG_LOG_BYTES:
                self.nearly_done = True
            if self.wal_bytes() > SHRINK_WAL_BYTES:
                checkpoint(link.raw, "TRUNCATE")
        except sqlite3.Error:
            return  # a reader or the disk is in the way; a second later is as good


def checkpoint(raw: sqlite3.Connection, mode: str) -> int:
    """Move what is committed into the database file; returns the length of the log in bytes."""
    _, pages, _ = raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(pages) * _PAGE_BYTES
