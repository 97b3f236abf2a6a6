"""The tests' own PostgreSQL: what a test believes to be on disk is there, also after a kill."""

import os
import signal
from pathlib import Path

from orderkeep.bench.postgres import STOP_DEADLINE_S, TemporaryPostgres

TEMPLATE = "orderkeep_template"
_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "restart_after_crash": "on",  # one killed backend takes all others with it, as in production
}


class PostgresServer(TemporaryPostgres):
    """One server with a temporary folder, which survives ``stop`` and ``kill``."""

    def __init__(self) -> None:
        super().__init__(_SETTINGS)

    def kill(self) -> None:
        """End every process of the server at once, as a power cut does."""
        assert self._process is not None
        # Stopped first: a living postmaster would see its children die and start recovering.
        self._process.send_signal(signal.SIGSTOP)
        for child in self.backends():
            os.kill(child, signal.SIGKILL)
        self._process.kill()
        self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def backends(self) -> list[int]:
        """Process ids of the server's children: backends and helpers."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in listed.split()]
