"""One server per database file: a second one is refused, and told who is there."""

import fcntl
import os
from pathlib import Path

from orderkeep.kernel.errors import OrderkeepError

_held: set[Path] = set()


class AlreadyRunning(OrderkeepError):
    """Another process serves this database."""


class ServerLock:
    """Held while a process serves a database; the system frees it however the process ends."""

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database.resolve()}.lock")
        # A record lock, not flock: a child process that outlives us must not keep it.
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(database)
        except BaseException:
            if self._path not in _held:  # closing any descriptor frees the locks of the process
                os.close(self._fd)
            raise

    def release(self) -> None:
        """Let the next server in."""
        _held.discard(self._path)
        os.close(self._fd)

    def _take(self, database: Path) -> None:
        if self._path in _held:
            raise AlreadyRunning(f"This process already serves {database}.")
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"Another orderkeep serves {database} (process {holder})."
                " SQLite has one server: stop that one first."
            ) from error
        _held.add(self._path)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)
