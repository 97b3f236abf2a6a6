"""Power loss: a file system that forgets whatever was not synced, under SQLite and PostgreSQL.

The disk is ext4 on a file; one ioctl takes its power, without letting it write down its journal.
Beside each trial stands a control that does not sync, which has to lose what it acknowledged.
"""

import asyncio
import fcntl
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import asyncpg

from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene, need_root
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.works import Works, wait_for
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import prepare

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_JOURNAL = 2
ROUNDS = 3
ROWS = 200
DISK_MIB = 600  # Sparse: it takes what is written.


def cells() -> Iterator[Cell]:
    """The product on both databases, and stores that sync and that do not."""
    yield Cell(EMBEDDED, "power", "power loss", sqlite_product)
    yield Cell(SCALED_OUT, "power", "power loss", postgres_product)
    for how, fails in (("FULL", False), ("NORMAL", True)):
        trial = partial(sqlite_rows, how=how)
        yield Cell(EMBEDDED, "power", f"control synchronous={how}", trial, fails)
    for how, fails in (("on", False), ("off", True)):
        trial = partial(postgres_rows, how=how)
        yield Cell(SCALED_OUT, "power", f"control synchronous_commit={how}", trial, fails)


class Disk:
    """A disk of our own, which can lose its power."""

    def __init__(self, image: Path, place: Path, size_mib: int = DISK_MIB) -> None:
        self.place = place
        self._image = image
        place.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self.mount()

    def mount(self) -> None:
        """Give it power; ext4 replays its journal."""
        _run("mount", "-o", "loop", str(self._image), str(self.place))
        self.place.chmod(0o755)

    def lose_power(self) -> None:
        """From now on nothing reaches it, and what it had not synced is forgotten."""
        place = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(place, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_JOURNAL))
        finally:
            os.close(place)

    def unmount(self) -> None:
        """Take it away, once nobody uses it any more."""
        wait_for(self._let_go, "somebody still uses the disk")

    def settle(self) -> None:
        """Sync everything that is there: only what comes later is at stake."""
        _run("sync", "-f", str(self.place))

    def _let_go(self) -> bool:
        done = subprocess.run(["/bin/umount", str(self.place)], check=False, capture_output=True)
        return done.returncode == 0


@contextmanager
def disk(scene: Scene, place: Path, size_mib: int = DISK_MIB) -> Iterator[Disk]:
    """A mounted disk."""
    need_root()
    made = Disk(scene.folder / "disk.img", place, size_mib)
    try:
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            _run("umount", "-l", str(place))


def sqlite_product(scene: Scene) -> Verdict:
    """The whole product with its folder on the disk."""
    with (
        disk(scene, scene.folder / "product") as own,
        scene.works() as works,
        works.clients() as clients,
    ):
        works.begin()
        for _ in range(ROUNDS):
            some_more(works, clients)
            own.lose_power()
            works.end()
            own.unmount()
            own.mount()
            works.begin()
        return works.verdict(clients)


@contextmanager
def postgres_on(
    scene: Scene, size_mib: int = DISK_MIB, **settings: str
) -> Iterator[tuple[Disk, PostgresServer]]:
    """A PostgreSQL with its data on a disk of its own."""
    place = Path(tempfile.mkdtemp(prefix="orderkeep-disk-"))
    place.chmod(0o755)  # PostgreSQL runs as somebody else.
    try:
        with disk(scene, place, size_mib) as own, PostgresServer(place, **settings) as server:
            yield own, server
    finally:
        place.rmdir()


def postgres_product(scene: Scene) -> Verdict:
    """The whole product over a PostgreSQL that loses power."""
    with postgres_on(scene) as (own, server):
        url = server.database(name="orders")
        keys = prepare(scene.folder, url)
        own.settle()
        with (
            scene.works(keys=keys, settings={"database_url": url}) as works,
            works.clients() as clients,
        ):
            works.begin()
            for _ in range(ROUNDS):
                some_more(works, clients)
                lose_power(own, server)
            return works.verdict(clients)


def lose_power(own: Disk, server: PostgresServer) -> None:
    """The disk's, and with it the server's; then both come back."""
    own.lose_power()
    server.kill()
    own.unmount()
    own.mount()
    server.start()


def some_more(works: Works, clients: Clients) -> None:
    """Let some more orders come in, then wait for no particular moment."""
    clients.more()
    time.sleep(works.chance.random())


# --- controls -----------------------------------------------------------------------------------

_ACKNOWLEDGES = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA journal_mode=WAL")
raw.execute("PRAGMA synchronous=" + sys.argv[2])
raw.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY)")
raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
n = 0
while True:
    raw.execute("INSERT INTO kept VALUES (?)", (n,))
    print(n, flush=True)
    n += 1
"""


def sqlite_rows(scene: Scene, how: str) -> Verdict:
    """Rows that SQLite has acknowledged, with one setting of ``synchronous`` or another."""
    place = scene.folder / "product"
    with disk(scene, place) as own:
        child = subprocess.Popen(
            [sys.executable, "-c", _ACKNOWLEDGES, str(place / "rows.db"), how],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        acknowledged = {int(child.stdout.readline()) for _ in range(ROWS)}
        own.lose_power()
        child.kill()
        child.communicate()
        own.unmount()
        own.mount()
        return _missing(acknowledged, partial(_sqlite_kept, place / "rows.db"))


def _sqlite_kept(path: Path) -> set[int]:
    with suppress(sqlite3.OperationalError):  # Its table is gone as well.
        raw = sqlite3.connect(path)
        try:
            return {n for (n,) in raw.execute("SELECT n FROM kept")}
        finally:
            raw.close()
    return set()


def postgres_rows(scene: Scene, how: str) -> Verdict:
    """The same with PostgreSQL's ``synchronous_commit``."""
    # The writer sleeps for long: what has to reach the disk is brought there by the commit.
    with postgres_on(scene, wal_writer_delay="10s") as (own, server):
        url = server.database(name="rows")
        asyncio.run(_make_table(url))
        own.settle()
        acknowledged = asyncio.run(_insert(url, how))
        lose_power(own, server)
        return _missing(acknowledged, lambda: asyncio.run(_postgres_kept(url)))


async def _make_table(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (n integer PRIMARY KEY)")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _insert(url: str, how: str) -> set[int]:
    connection = await asyncpg.connect(url)
    await connection.execute(f"SET synchronous_commit = {how}")
    for n in range(ROWS):
        await connection.execute("INSERT INTO kept VALUES ($1)", n)
    connection.terminate()
    return set(range(ROWS))


async def _postgres_kept(url: str) -> set[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT n FROM kept")
    await connection.close()
    return {row["n"] for row in rows}


def _missing(acknowledged: set[int], kept: Callable[[], set[int]]) -> Verdict:
    return Verdict(orders=len(acknowledged), lost=len(acknowledged - kept()))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
