"""A checkpoint begins only while there is something to move: else SQLite may lose a commit."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.adapters.sql import checkpoints as module
from orderkeep.adapters.sql.checkpoints import Checkpoints
from orderkeep.adapters.sql.connections import Link, open_link


class Disk:
    """A database with its writer, and who moves its log; every checkpoint is counted."""

    def __init__(self, path: Path) -> None:
        self.writer, self.mover = open_link(path), open_link(path)
        self.writer.raw.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)")
        self.checkpoints = Checkpoints(path)
        self.begun = 0
        for link in (self.writer, self.mover):
            link.raw.set_trace_callback(self._heard)

    def write(self, size: int = 10) -> None:
        self.writer.raw.execute("INSERT INTO t (x) VALUES (zeroblob(?))", (size,))

    def tick(self) -> None:
        self.checkpoints._tick(self.mover)

    def close(self) -> None:
        for link in (self.writer, self.mover):
            link.close()

    def _heard(self, statement: str) -> None:
        self.begun += "wal_checkpoint" in statement


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    one = Disk(tmp_path / "orderkeep.db")
    yield one
    one.close()


def moved(link: Link) -> bool:
    """Whether all of the log is in the database; asks in a way that moves the rest."""
    _, pages, done = link.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(pages == done)


def test_a_log_that_is_moved_is_left_alone_until_something_is_written(disk: Disk) -> None:
    disk.write()
    for _ in range(3):
        disk.tick()
    assert disk.begun == 1

    disk.write(100_000)
    for _ in range(3):
        disk.tick()

    assert disk.begun == 2


def test_what_a_reader_kept_from_being_moved_is_moved_later(disk: Disk, tmp_path: Path) -> None:
    reader = sqlite3.connect(tmp_path / "orderkeep.db", isolation_level=None)
    disk.write()
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    disk.write(100_000)
    disk.tick()
    reader.close()

    disk.tick()
    disk.tick()

    assert disk.begun == 2
    assert moved(disk.mover)


def test_what_the_writer_has_moved_itself_is_not_moved_again(disk: Disk) -> None:
    disk.write()
    disk.checkpoints.nearly_done = True

    disk.checkpoints.finish(disk.writer.raw)
    disk.tick()

    assert disk.begun == 1
    assert disk.writer.raw.execute("PRAGMA busy_timeout").fetchone() == (5000,)


def test_a_long_log_is_given_back_by_the_writer(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can be sure that no commit begins meanwhile."""
    monkeypatch.setattr(module, "SHRINK_WAL_BYTES", 100_000)
    disk.write(200_000)
    disk.tick()
    assert disk.checkpoints.nearly_done

    disk.checkpoints.finish(disk.writer.raw)

    assert disk.checkpoints.wal_bytes() == 0
    assert not disk.checkpoints.nearly_done
