"""The whole product as a child process of a test: started, killed, and always reaped."""

import json
import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

COMMAND = (sys.executable, "-c", "from orderkeep.cli import app; app()")
"""`orderkeep`, with the interpreter that runs the test."""
DEADLINE_S = 60.0
OPERATOR = "olga"
HEAD = "hanna"


class Gone(Exception):
    """The process died, as it may have been told to."""


@dataclass
class Keys:
    """What lets the test in: made once, copied with the database."""

    partner: str
    passwords: dict[str, str] = field(default_factory=dict)


class Product:
    """One database and the process that serves it, or does not any more."""

    def __init__(self, folder: Path, keys: Keys, **settings: str) -> None:
        self.folder = folder
        self.keys = keys
        self.ready_after_s: list[float] = []
        self.door = ""
        self.office = ""
        self.said: list[str] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if "ORDERKEEP" not in name},
            "ORDERKEEP_DATABASE_URL": f"sqlite:///{folder / 'orderkeep.db'}",
            "ORDERKEEP_TEST_MODE": "1",
            "ORDERKEEP_QUOTER_WORKERS": "1",
            **{f"ORDERKEEP_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[str] | None = None
        self._log = folder / "orderkeep.log"
        self._http = httpx.Client(trust_env=False, timeout=DEADLINE_S)
        self._signed_in: dict[str, httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
        self.wait()
        self._forget_people()
        self._http.close()

    # --- the process ----------------------------------------------------------------------------

    def start(self, failpoint: str | None = None) -> bool:
        """Start it; True once it is ready, False if it dies before."""
        environment = dict(self._environment)
        if failpoint:
            environment["ORDERKEEP_FAILPOINT"] = failpoint
        started = time.monotonic()
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run", "--port", "0", "--office-port", "0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self.folder,
            )
        ready = self._wait_until_ready(self._process)
        self.ready_after_s.append(time.monotonic() - started)
        self._forget_people()
        return ready

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    def wait(self) -> int | None:
        """Wait for its end and reap it; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        code = process.wait(DEADLINE_S)
        if process.stdout is not None:
            process.stdout.close()
        return code

    @property
    def environment(self) -> dict[str, str]:
        """What a command beside it is started with."""
        return dict(self._environment)

    @property
    def pid(self) -> int:
        """Its process; 0 when there is none."""
        return self._process.pid if self._process else 0

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self._process is None or self._process.poll() is not None

    def refused(self) -> tuple[int, str]:
        """Start a second process on the same database; its exit code and its sentence."""
        done = subprocess.run(
            [*COMMAND, "run", "--port", "0", "--office-port", "0"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip
        return done.returncode, done.stderr

    def _wait_until_ready(self, process: "subprocess.Popen[str]") -> bool:
        lines: queue.Queue[str] = queue.Queue()
        # A pipe is read to its end by a thread: a full one would stop the product.
        threading.Thread(target=_follow, args=(process.stdout, lines), daemon=True).start()
        while True:
            line = lines.get(timeout=DEADLINE_S)
            self.said.append(line)
            if not line:
                return False
            if line.startswith("door ready on port"):
                self.door = f"http://127.0.0.1:{line.split()[-1]}"
            if line.startswith("office ready on port"):
                self.office = f"http://127.0.0.1:{line.split()[-1]}"
            if "orderkeep is ready" in line:
                return True

    # --- clients --------------------------------------------------------------------------------

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """A partner's call.

        Raises:
            Gone: no answer came.
        """
        headers = {"Authorization": f"Bearer {self.keys.partner}", **kwargs.pop("headers", {})}
        try:
            return self._http.request(method, self.door + path, headers=headers, **kwargs)
        except httpx.TransportError as error:
            raise Gone from error

    def act(self, login: str, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
        """A person's call, signed in first.

        Raises:
            Gone: no answer came.
        """
        try:
            return self._person(login).request(method, f"/office/v1{path}", json=body)
        except httpx.TransportError as error:
            raise Gone from error

    def _person(self, login: str) -> httpx.Client:
        if login not in self._signed_in:
            client = httpx.Client(
                base_url=self.office, headers={"X-Requested-With": "orderkeep"},
                trust_env=False, timeout=DEADLINE_S,
            )  # fmt: skip
            self._signed_in[login] = client
            password = self.keys.passwords[login]
            answer = client.post("/office/v1/session", json={"login": login, "password": password})
            answer.raise_for_status()
        return self._signed_in[login]

    def _forget_people(self) -> None:
        for client in self._signed_in.values():
            client.close()
        self._signed_in.clear()

    # --- looking --------------------------------------------------------------------------------

    def verify(self) -> tuple[int, dict[str, Any]]:
        """``orderkeep verify --mes --json``: its exit code and its report."""
        done = subprocess.run(
            [*COMMAND, "verify", "--mes", "--json"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout or "{}")

    def command(self, *words: str, failpoint: str | None = None) -> int:
        """A command beside the server; its exit code."""
        more = {"ORDERKEEP_FAILPOINT": failpoint} if failpoint else {}
        done = subprocess.run(
            [*COMMAND, *words],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            env=self._environment | more, cwd=self.folder,
        )  # fmt: skip
        return done.returncode

    def rows(self, query: str) -> list[Any]:
        """What the tables say."""
        with open_read_only(self.folder / "orderkeep.db") as raw:
            return raw.execute(query).fetchall()


def _follow(stream: Any, lines: "queue.Queue[str]") -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # Closed while we read: the process has been reaped.
    lines.put("")


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A look at the tables beside the product."""
    raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield raw
    finally:
        raw.close()


def prepare(folder: Path, url: str = "") -> Keys:
    """A migrated database with a partner whose orders need no seller, and two people.

    In the folder, unless ``url`` names another.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if "ORDERKEEP" not in name},
        "ORDERKEEP_DATABASE_URL": url or f"sqlite:///{folder / 'orderkeep.db'}",
    }

    def tell(*words: str) -> str:
        done = subprocess.run(
            [*COMMAND, *words],
            capture_output=True, text=True, timeout=DEADLINE_S, env=environment,
            cwd=folder, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()[-1] if done.stdout else ""

    tell("migrate")
    key = ("--rate", "1000/s", "--auto-approve-below", "100000000")
    keys = Keys(tell("keys", "create", "--partner", "P", *key))
    for login, role in ((OPERATOR, "operator"), (HEAD, "head")):
        keys.passwords[login] = tell(
            "people", "add", "--login", login, "--role", role, "--name", login
        )
    return keys


def copy(template: Path, folder: Path) -> None:
    """A database of its own, as ``prepare`` made it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in template.glob("orderkeep.db*"):
        if path.suffix != ".lock":
            shutil.copy(path, folder / path.name)
