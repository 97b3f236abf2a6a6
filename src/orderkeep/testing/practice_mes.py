"""The practice MES and CRM as child processes of a test: started, killed and always reaped."""

import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx

from orderkeep.bench.ports import hold_port, number_of
from orderkeep.practice.mes_journal import Entry, effects, read_journal
from orderkeep.testing import nursery

DEADLINE_SECONDS = 150.0
COMMAND = (sys.executable, "-c", "from orderkeep.cli.simulate import app; app()")
"""`orderkeep simulate`, with the interpreter that runs the test."""


class PracticeProcess:
    """One practice system on loopback; a restart keeps its journal and its port."""

    what: ClassVar[str]
    """Which: the command's name."""
    plain: ClassVar[Mapping[str, Any]]
    """How it behaves as new."""

    def __init__(self, journal: Path, *flags: str) -> None:
        self.journal = journal
        self.address = ""
        self._flags = flags
        self._process: nursery.Started | None = None
        self._control = httpx.Client(trust_env=False, timeout=DEADLINE_SECONDS)
        self._place = hold_port()
        self._port = number_of(self._place)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._control.close()
        self._place.close()

    def start(self) -> None:
        """Return once it listens."""
        where = ["--port", str(self._port), "--journal", str(self.journal)]
        words = ["simulate", self.what, *where, *self._flags]
        self._process = nursery.start(
            words, os.environ, Path.cwd(), self.journal.with_suffix(".log")
        )
        self.address = self._first_line().split()[-1]

    def stop(self) -> int:
        """Ask it to stop, and tell its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._end(signal.SIGKILL)

    def behave(self, **changes: Any) -> None:
        """Behave as told and in all else as new."""
        wanted = {**self.plain, **changes}
        answer = self._control.put(f"{self.address}/practice/faults", json=wanted)
        answer.raise_for_status()

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """The JSON a request of our own is answered with."""
        return self._control.request(method, self.address + path, **kwargs).json()

    def entries(self) -> list[Entry]:
        return read_journal(self.journal)

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
            raise TimeoutError(f"the practice {self.what} does not come up")
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the practice {self.what} ended: {self._end(signal.SIGTERM)}")
        return line


_PLAIN: Mapping[str, Any] = {
    "faults": [], "seed": 0, "limit": None, "busy_status": 429, "work_seconds": 0,
    "autopilot": False, "lookup": True,
}  # fmt: skip


class PracticeMesProcess(PracticeProcess):
    """The practice MES."""

    what = "mes"
    plain: ClassVar = {**_PLAIN, "idempotency": "none", "lag_seconds": 0}

    def effects(self, effect: str = "created") -> Counter[str]:
        """How often each reference had an effect, told by the journal and not by the answers."""
        return effects(self.entries(), effect)


class PracticeCrmProcess(PracticeProcess):
    """The practice CRM."""

    what = "crm"
    plain: ClassVar = {**_PLAIN, "refuses": []}

    def told(self) -> dict[str, list[Entry]]:
        """What it took to heart of each order, in its order, told by the journal."""
        found: dict[str, list[Entry]] = {}
        for one in self.entries():
            if one.effect in {"told", "overtaken"}:
                found.setdefault(one.reference or "", []).append(one)
        return found

    def decide(self, **said: Any) -> Any:
        """Its people decide something: it is the newest in the feed."""
        return self.ask("POST", "/api/commands", json=said)
