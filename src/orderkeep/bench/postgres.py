"""A PostgreSQL of one's own: its folder, its port, its user; nothing is shared, all is removed.

The machine's own PostgreSQL, if one runs, is neither asked nor touched. Started by root, the server
runs as the user ``postgres`` or ``nobody``. It syncs like a production server.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from orderkeep.bench.load import Sample, percentile
from orderkeep.bench.ports import hold_port, number_of
from orderkeep.bench.temporary import Temporary

INSTALLED = Path("/usr/lib/postgresql")
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
GONE_DEADLINE_S = 5.0
"""Until what was killed is gone."""

MISSING = (
    "A PostgreSQL of its own is started for this, and its programs are not installed."
    " Debian and Ubuntu: apt-get install postgresql"
)
_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


def _end_with_its_children(process: "subprocess.Popen[bytes]") -> None:
    """Kill a session; left alone, what it has started would go on to write in a folder."""
    ends = time.monotonic() + GONE_DEADLINE_S
    with suppress(ProcessLookupError):
        while time.monotonic() < ends:
            os.killpg(process.pid, signal.SIGKILL)
            process.poll()
            time.sleep(0.01)


class TemporaryPostgres(Temporary):
    """One server with a temporary folder, which survives ``stop``.

    Use it as ``with TemporaryPostgres() as server``, which removes the folder at the end, or with
    ``start``, ``stop``, ``restart`` and ``remove``. ``below`` says on which disk the folder is to
    be; the user that PostgreSQL runs as must be able to enter it.
    """

    def __init__(
        self, settings: Mapping[str, str] = MappingProxyType({}), below: Path | None = None
    ) -> None:
        self.programs = programs()
        # Not below pytest's folders: those are closed to every user but the one who runs pytest.
        self.folder = Path(tempfile.mkdtemp(prefix="orderkeep-postgres-", dir=below))
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._place = hold_port()
        self._port = number_of(self._place)
        self._made = 0
        self.settings = {**_SETTINGS, **settings}
        """What the server is started with; changes count from the next start."""
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        try:
            self._run(
                "initdb", "--username=orderkeep", "--auth=trust", "--encoding=UTF8", "--locale=C"
            )
        except BaseException:
            self.remove()  # Nobody has it yet who could.
            raise

    # --- addresses --------------------------------------------------------------------------------

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as ``ORDERKEEP_DATABASE_URL`` wants it."""
        return f"postgresql://orderkeep@127.0.0.1:{self._port}/{database}"

    def database(self, template: str = "template0", name: str = "") -> str:
        """Make another database, empty or like a template; returns its address."""
        self._made += 1
        name = name or f"t{self._made}"
        _now(self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        name = url.rpartition("/")[2]
        _now(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    # --- life -------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the postmaster; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start, and wait until it answers; the port stays the same from start to start."""
        settings = [f"-c{name}={value}" for name, value in self.settings.items()]
        command = [str(self.programs / "postgres"), "-D", str(self._data), f"-p{self._port}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *settings], stderr=log, **self._identity())
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Shut down fast: clients are cut off, what is running is undone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_DEADLINE_S)
            self._process = None

    def restart(self) -> None:
        """Stop if it runs, and start again."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop without tidying up, and remove everything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_DEADLINE_S)
            self._process = None
        self._place.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _identity(self) -> dict[str, Any]:
        where: dict[str, Any] = {"cwd": self.folder, "stdin": subprocess.DEVNULL}
        if self._user is None:
            return where
        return {**where, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self._data), *arguments]
        # Syncing a folder that is thrown away costs seconds and proves nothing.
        command.append("--no-sync")
        making = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._identity(),
        )
        try:
            said, _ = making.communicate()
        except BaseException:
            _end_with_its_children(making)
            raise
        if making.returncode:
            raise subprocess.CalledProcessError(making.returncode, command, said)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                _now(self._execute("SELECT 1"))
            except (OSError, asyncpg.PostgresError) as error:
                if time.monotonic() > deadline:
                    said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start:\n{said[-3000:]}") from error
                time.sleep(0.05)
            else:
                return

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class PgBench:
    """``pgbench -N`` on a database of its own: what the same server does with simple updates."""

    SCALE = 10
    """A million accounts."""

    def __init__(self, server: TemporaryPostgres, clients: int, protocol: str) -> None:
        self._program = server.programs / "pgbench"
        if not self._program.exists():
            raise FileNotFoundError(MISSING)
        self._url = server.database(name=f"pgbench_{protocol}")
        threads = min(clients, os.cpu_count() or 1)
        self._call = ["-N", f"-c{clients}", f"-j{threads}", f"-M{protocol}"]
        self._ask("-i", "-q", f"-s{self.SCALE}")

    @property
    def how(self) -> str:
        """The call, for whoever wants to repeat it."""
        return f"pgbench {' '.join(self._call)}, scale {self.SCALE}"

    def measure(self, seconds: float) -> Sample:
        """Let it run for so long, in whole seconds."""
        with tempfile.TemporaryDirectory(prefix="orderkeep-pgbench-") as folder:
            logs = ("-l", "--log-prefix", f"{folder}/log")
            said = self._ask("-n", *self._call, *logs, f"-T{max(1, round(seconds))}")
            took = sorted(_latencies(Path(folder)))
        [rate] = re.findall(r"^tps = ([\d.]+)", said, re.MULTILINE)
        return Sample(
            per_s=round(float(rate), 1),
            p50_ms=round(percentile(took, 0.50), 3),
            p99_ms=round(percentile(took, 0.99), 3),
            requests=len(took),
        )

    def _ask(self, *arguments: str) -> str:
        command = [str(self._program), *arguments, self._url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _latencies(folder: Path) -> list[float]:
    """Milliseconds of every transaction, from the logs of every thread."""
    took: list[float] = []
    for log in folder.iterdir():
        with log.open(encoding="ascii") as lines:
            took += [int(line.split()[2]) / 1000 for line in lines]
    return took


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``, the newest version first.

    Raises:
        FileNotFoundError: says which package to install.
    """
    versions = sorted(INSTALLED.glob("*/bin"), key=_version, reverse=True)
    on_path = [Path(found).parent for found in [shutil.which("initdb")] if found]
    beside = Path(sys.executable).parent  # where `make` links them, if the machine has none
    for folder in (*versions, *on_path, beside):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise FileNotFoundError(MISSING)


def _now(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end, also where a loop is running: whoever asks may make its loop wait."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as when we are root, as whom PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]
