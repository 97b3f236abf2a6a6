"""The tests' own PostgreSQL: what a test believes to be on disk is there, also after a kill."""

import os
import signal
from contextlib import suppress
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

    def __init__(self, below: Path | None = None, **settings: str) -> None:
        super().__init__({**_SETTINGS, **settings}, below)

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

    def pause(self) -> None:
        """Let every process of the server hang: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    @property
    def dead(self) -> bool:
        """Whether it has ended, by itself or because somebody ended it."""
        return self._process is None or self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        # The postmaster first: it would see to children that do not move.
        for pid in (self.pid, *self.backends()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def backends(self) -> list[int]:
        """Process ids of the server's children: backends and helpers."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in listed.split()]
