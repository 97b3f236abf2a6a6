"""The whole product as a child process of a test: started, killed, and always reaped."""

import json
import os
import queue
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from orderkeep.testing import nursery
from orderkeep.testing.nursery import COMMAND

__all__ = ["COMMAND", "Gone", "Keys", "Product", "change", "copy", "open_read_only", "prepare"]
DEADLINE_S = 150.0
"""Nobody waits longer for a process or an answer: much more than a busy machine needs."""
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
        self._process: nursery.Started | None = None
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
        words = ("run", "--port", "0", "--office-port", "0")
        self._process = nursery.start(words, environment, self.folder, self._log)
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

    def surround(self, environment: Mapping[str, str]) -> None:
        """Let every process that is started from now on find more in its environment."""
        self._environment |= environment

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
        words = ("run", "--port", "0", "--office-port", "0")
        done = nursery.run(words, self._environment, self.folder, DEADLINE_S)
        return done.returncode, done.stderr

    def _wait_until_ready(self, process: nursery.Started) -> bool:
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
            try:
                self._sign_in(client, login)
            except BaseException:
                client.close()
                raise
            self._signed_in[login] = client
        return self._signed_in[login]

    def _sign_in(self, client: httpx.Client, login: str) -> None:
        who = {"login": login, "password": self.keys.passwords[login]}
        client.post("/office/v1/session", json=who).raise_for_status()

    def _forget_people(self) -> None:
        for client in self._signed_in.values():
            client.close()
        self._signed_in.clear()

    # --- looking --------------------------------------------------------------------------------

    def verify(self, *, ask_mes: bool = True) -> tuple[int, dict[str, Any]]:
        """``orderkeep verify --mes --json``: its exit code and its report, or why there is none."""
        words = ("verify", *(["--mes"] if ask_mes else []), "--json")
        done = nursery.run(words, self._environment, self.folder, DEADLINE_S)
        return done.returncode, json.loads(done.stdout or json.dumps({"refused": done.stderr}))

    def command(self, *words: str, failpoint: str | None = None) -> int:
        """A command beside the server; its exit code."""
        more = {"ORDERKEEP_FAILPOINT": failpoint} if failpoint else {}
        return nursery.run(words, self._environment | more, self.folder, DEADLINE_S).returncode

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
        done = nursery.run(words, environment, folder, DEADLINE_S)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1] if done.stdout else ""

    tell("migrate")
    key = ("--rate", "1000/s", "--auto-approve-below", "100000000")
    keys = Keys(tell("keys", "create", "--partner", "P", *key))
    for login, role in ((OPERATOR, "operator"), (HEAD, "head")):
        keys.passwords[login] = tell(
            "people", "add", "--login", login, "--role", role, "--name", login
        )
    return keys


def change(product: Product, statement: str) -> None:
    """Change the tables of a product behind its back."""
    with closing(sqlite3.connect(product.folder / "orderkeep.db")) as raw, raw:
        raw.execute(statement)


def copy(template: Path, folder: Path) -> None:
    """A database of its own, as ``prepare`` made it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in template.glob("orderkeep.db*"):
        if path.suffix != ".lock":
            shutil.copy(path, folder / path.name)
