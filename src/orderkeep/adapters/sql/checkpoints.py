"""Moving commits from the write-ahead log into the database, beside the commits."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from orderkeep.adapters.sql.connections import Link, open_link
from orderkeep.adapters.sql.place import Place

EVERY_S = 0.25
LONG_LOG_BYTES = 16 * 1024 * 1024
"""A log of this length is to be written again from its start: syncing a growing file is slow."""

SHRINK_WAL_BYTES = 256 * 1024 * 1024
"""A log file of this size is given back to the disk."""

log = structlog.get_logger()

_Written = tuple[int, int]
_PATIENCE_MS = 50
_PAGE_BYTES = 4096


class Checkpoints:
    """A thread that checkpoints a few times a second without making a commit wait.

    The log starts again only when it has been moved to its very end, and under load there is
    always a commit more; so the writer moves the last few pages itself, when ``nearly_done``.

    None begins on a log that has been moved to its end already. The next commit starts that log
    again, and SQLite before 3.51.3 may take what is committed in the very moment in which another
    checkpoint begins for moved, and lose it (its "WAL-reset bug", https://sqlite.org/wal.html).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="store-checkpoints", daemon=True)
        self._place = Place(path)
        self._moving = threading.Lock()
        self._moved: _Written | None = None
        """The log as it was left when all of it had been moved."""
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

    def finish(self, raw: sqlite3.Connection) -> None:
        """Move what is left, on the writer's own connection between two of its commits."""
        # Not together: whoever came second would begin where the first has just ended.
        if not self.nearly_done or not self._moving.acquire(blocking=False):
            return
        try:
            self.nearly_done = False
            self._move(raw, "TRUNCATE" if self.wal_bytes() > SHRINK_WAL_BYTES else "PASSIVE")
        finally:
            self._moving.release()

    def _serve(self) -> None:
        link = open_link(self._path)
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
        with self._moving, suppress(sqlite3.Error):  # The disk or a reader: later is as good.
            if not self._is_moved():
                length = self._move(link.raw, "PASSIVE")
                if length > LONG_LOG_BYTES or self.wal_bytes() > SHRINK_WAL_BYTES:
                    self.nearly_done = True

    def _is_moved(self) -> bool:
        """Whether nothing was written since all was moved.

        Once something was, the log has been started again, or goes on: nobody starts it anew
        before the checkpoint that asks here has ended.
        """
        return self._moved is not None and self._moved == self._written()

    def _move(self, raw: sqlite3.Connection, mode: str) -> int:
        """Move what is committed into the database file; the length of the log in bytes."""
        self._moved = None
        with _patient(raw):
            _, pages, moved = raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if pages == moved:
            self._moved = self._written()
        return int(pages) * _PAGE_BYTES

    def _written(self) -> _Written | None:
        """When the log was written last, and its length."""
        try:
            found = self._wal.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size


@contextmanager
def _patient(raw: sqlite3.Connection) -> Iterator[None]:
    """Wait for readers no longer than who commits next may be kept waiting."""
    [(before,)] = raw.execute("PRAGMA busy_timeout")
    raw.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout={before}")
