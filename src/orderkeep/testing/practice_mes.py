"""The practice MES as a child process of a test: started, killed and always reaped."""

import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from orderkeep.practice.mes_journal import Entry, effects, read_journal

DEADLINE_SECONDS = 20.0
COMMAND = (sys.executable, "-c", "from orderkeep.cli.simulate import app; app()", "mes")
"""`orderkeep simulate mes`, with the interpreter that runs the test."""


class PracticeMesProcess:
    """One practice MES on loopback; a restart keeps its journal and its port."""

    def __init__(self, journal: Path, *flags: str) -> None:
        self.journal = journal
        self.address = ""
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        self._control = httpx.Client(trust_env=False, timeout=DEADLINE_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._control.close()

    def start(self) -> None:
        """Return once it listens."""
        port = self.address.rpartition(":")[2] or "0"
        command = [*COMMAND, "--port", port, "--journal", str(self.journal), *self._flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.address = self._first_line().split()[-1]

    def stop(self) -> int:
        """Ask it to stop, and tell its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._end(signal.SIGKILL)

    def behave(self, **changes: Any) -> None:
        """Behave as told and in all else as new: no faults, look-up on, no limit."""
        plain = {
            "faults": [], "seed": 0, "idempotency": "none", "lookup": True, "lag_seconds": 0,
            "limit": None, "busy_status": 429, "work_seconds": 0, "autopilot": False,
        }  # fmt: skip
        answer = self._control.put(f"{self.address}/practice/faults", json={**plain, **changes})
        answer.raise_for_status()

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """The JSON a request of our own is answered with."""
        return self._control.request(method, self.address + path, **kwargs).json()

    def entries(self) -> list[Entry]:
        return read_journal(self.journal)

    def effects(self, effect: str = "created") -> Counter[str]:
        """How often each reference had an effect, told by the journal and not by the answers."""
        return effects(self.entries(), effect)

    def wait_for(self, seen: Callable[[list[Entry]], bool]) -> None:
        """Return when the journal shows something.

        Raises:
            TimeoutError: it did not, within the deadline.
        """
        ends = time.monotonic() + DEADLINE_SECONDS
        while not seen(self.entries()):
            if time.monotonic() > ends:
                raise TimeoutError("the journal does not show it")
            time.sleep(0.01)

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            os.kill(process.pid, number)
        code = process.wait(DEADLINE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return code

    def _first_line(self) -> str:
        stdout = self._process.stdout if self._process else None
        if stdout is None or not select.select([stdout], [], [], DEADLINE_SECONDS)[0]:
            self.kill()
            raise TimeoutError("the practice MES does not come up")
        line = stdout.readline().decode()
        if not line:
            raise RuntimeError(f"the practice MES ended at once: {self._end(signal.SIGTERM)}")
        return line
