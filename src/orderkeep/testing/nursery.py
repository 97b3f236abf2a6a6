"""Processes that begin as forks of one which has read all the code: seconds less for each.

Such a process is one like any other: it has its own environment, folder, output and id, nobody
shares anything with it, and whoever asked for it signals and reaps it as a child of their own.
Without a nursery, or where the loader is told something, a fresh interpreter is started.
"""

import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, NamedTuple, Self

import msgspec

from orderkeep.cli import app

COMMAND = (sys.executable, "-c", "from orderkeep.cli import app; app()")
"""`orderkeep`, with the interpreter that runs the test."""
READ = (
    "orderkeep.roles.run",
    "orderkeep.roles.parent",
    *(f"orderkeep.cli.{name}" for name in ("run", "simulate", "verify", "migrate", "imports")),
    *(f"orderkeep.adapters.{name}" for name in ("sql.postgres.store", "rabbitmq.transport")),
    *(f"orderkeep.practice.{name}" for name in ("mes", "crm")),
    *("alembic.command", "pydantic.v1", "pydantic.networks", "typer._adapters"),
    *(f"litestar.plugins.{name}" for name in ("attrs", "pydantic")),
    *(f"litestar.middleware.{name}" for name in ("allowed_hosts", "csrf", "response_cache")),
    *("litestar._kwargs.kwargs_model", "litestar.exceptions.responses", "anyio._backends._asyncio"),
)
"""What is read before the first fork: also what is read late, when an application is built."""
LOOK_S = 0.01
_SUBREAPER = 36
_MESSAGE_BYTES = 65536


class Wanted(msgspec.Struct):
    """A process that somebody asks for; its output and errors come along as descriptors."""

    words: list[str]
    environment: dict[str, str]
    folder: str


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Child:
    """A fork of the nursery's, with what we use of ``subprocess.Popen``."""

    def __init__(self, pid: int, stdout: IO[str]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._lock = Lock()

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end and reap it; its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended.
        """
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(LOOK_S)
        return code


Started = subprocess.Popen[str] | Child


class Nursery:
    """The process that forks; it ends with whoever holds it."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Who was forked becomes ours when the one between, who forked it, has ended.
        _adopt(True)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            nurse = f"from orderkeep.testing.nursery import nurse; nurse({theirs.fileno()})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", nurse], pass_fds=(theirs.fileno(),),
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
            )  # fmt: skip

    def __enter__(self) -> Self:
        _open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _open.remove(self)
        self._ours.close()
        self._process.wait()
        # Other tests' orphans would become ours too, and nobody here would reap them.
        _adopt(bool(_open))

    def fork(self, wanted: Wanted, output: int, errors: int) -> int:
        """Let a process begin; its id.

        Raises:
            RuntimeError: the nursery is gone.
        """
        with self._lock:
            socket.send_fds(self._ours, [msgspec.json.encode(wanted)], [output, errors])
            answer = self._ours.recv(_MESSAGE_BYTES)
        if not answer:
            raise RuntimeError("the nursery has ended")
        return int(answer)


_open: list[Nursery] = []


def _adopt(ours: bool) -> None:  # noqa: FBT001  # As the system has it.
    """Whether orphans below this process become its children."""
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, int(ours), 0, 0, 0)


def start(words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Started:
    """Start ``orderkeep`` with these words; what it says is read from ``stdout``."""
    with log.open("a") as errors:
        if not _may_fork(environment):
            return subprocess.Popen(
                [*COMMAND, *words], stdout=subprocess.PIPE, stderr=errors, text=True,
                env=environment, cwd=folder,
            )  # fmt: skip
        read, write = os.pipe()
        try:
            pid = _fork(words, environment, folder, write, errors.fileno())
        finally:
            os.close(write)
        return Child(pid, os.fdopen(read, encoding="utf-8"))


def run(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, within_s: float
) -> Done:
    """Run an ``orderkeep`` command to its end.

    Raises:
        subprocess.TimeoutExpired: it has not ended.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        if _may_fork(environment):
            pid = _fork(words, environment, folder, output.fileno(), errors.fileno())
            code = Child(pid, output).wait(within_s)
        else:
            code = subprocess.run(
                [*COMMAND, *words], stdout=output, stderr=errors, timeout=within_s, check=False,
                env=environment, cwd=folder,
            ).returncode  # fmt: skip
        output.seek(0)
        errors.seek(0)
        return Done(code, output.read(), errors.read())


def _may_fork(environment: Mapping[str, str]) -> bool:
    return bool(_open) and "LD_PRELOAD" not in environment


def _fork(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, output: int, errors: int
) -> int:
    wanted = Wanted([*words], {**environment}, str(folder))
    return _open[-1].fork(wanted, output, errors)


# --- in the nursery -----------------------------------------------------------------------------


def nurse(number: int) -> None:
    """Read the code, then fork whenever somebody asks, until nobody can any more."""
    for name in READ:
        import_module(name)
    gc.collect()
    gc.freeze()
    with suppress(ConnectionError), socket.socket(fileno=number) as asked:
        while True:
            message, fds, _, _ = socket.recv_fds(asked, _MESSAGE_BYTES, 2)
            if not message:
                return
            wanted = msgspec.json.decode(message, type=Wanted)
            asked.send(str(_grandchild(partial(_be, wanted, *fds))).encode())
            for one in fds:
                os.close(one)


def _grandchild(live: Callable[[], None]) -> int:
    """A process whose parent has ended already: it belongs to the nursery's holder."""
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            live()
        os.write(write, str(pid).encode())
        os._exit(0)
    os.waitpid(between, 0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        return int(told.read())


def _be(wanted: Wanted, output: int, errors: int) -> None:
    """Become the process that is wanted, and never return."""
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # A name, no path.
        for source, target in ((nothing.fileno(), 0), (output, 1), (errors, 2)):
            os.dup2(source, target)
    os.closerange(3, 4096)
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["orderkeep", *wanted.words]
    code = 1
    try:
        app()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001  # As the interpreter says it of a process of its own.
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
