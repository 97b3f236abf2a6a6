"""Model files in a local folder, each under the SHA-256 of its bytes.

Written by hand and not through obstore: its local put neither syncs the file nor the folder
(seen with strace), so that an upload we acknowledged could be gone after a power cut.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from io import FileIO
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import TypeVar

from orderkeep.files.ports import FileNotFound, FilesUnavailable
from orderkeep.kernel.failpoints import failpoint, reach

T = TypeVar("T")

_INCOMING = "incoming"
_KEPT = "sha256"
_ASIDE = "aside"
_BUFFER = 1024 * 1024

BEFORE_SYNC = failpoint("file.before_sync", "some bytes of the file, under a name nobody knows")
AFTER_KEEP = failpoint("file.after_keep", "the whole file under its hash; no row names it yet")


class LocalFiles:
    """Implements ``files.ports.FileKeeper`` with a folder on a local disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        self._kept = root / _KEPT
        self._aside = root / _ASIDE
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._kept.mkdir(exist_ok=True)
        self._aside.mkdir(exist_ok=True)
        # All of them now: two uploads into a new one could each trust the other to sync it.
        for number in range(256):
            (self._kept / f"{number:02x}").mkdir(exist_ok=True)
        self._placing = Lock()
        # From the inside out: a folder whose own entry is lost takes with it all that it holds.
        for folder in (self._kept, root, *(folder.parent for folder in made)):
            _sync_folder(folder)

    def forget_unfinished(self, older: timedelta = timedelta(0)) -> int:
        """Delete what earlier processes left half taken in; call before the first ``receive``.

        Where other processes take files in as well, only what is ``older`` than any of theirs.
        """
        before = time.time() - older.total_seconds()
        left = [path for path in self._incoming.iterdir() if not older or _age(path) < before]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    async def receive(self) -> "LocalIncoming":
        path = self._incoming / token_hex(16)
        file = await _away(lambda: path.open("xb", buffering=0))
        return LocalIncoming(file, path, self._kept, self._placing)

    @asynccontextmanager
    async def open(self, sha256_hex: str) -> AsyncIterator[Path]:
        path = place(self._kept, sha256_hex)
        if not await asyncio.to_thread(path.is_file):
            raise FileNotFound("There is no such file.")
        yield path

    async def kept_before(self, instant: datetime) -> Collection[str]:
        before = instant.timestamp()
        return await asyncio.to_thread(
            lambda: [path.name for path in self._kept.glob("??/*") if path.stat().st_mtime < before]
        )

    async def set_aside(self, sha256_hex: str, instant: datetime) -> bool:
        return await asyncio.to_thread(self._set_aside, place(self._kept, sha256_hex), instant)

    def _set_aside(self, path: Path, instant: datetime) -> bool:
        # Whoever has kept the same bytes meanwhile has made them young, and their row follows.
        aside = self._aside / path.name
        with self._placing:
            if not path.exists() or (seen := path.stat()).st_mtime >= instant.timestamp():
                return False
            os.utime(path)  # aside since now
            path.rename(aside)
            if aside.stat().st_ino == seen.st_ino:
                return True
            aside.replace(path)  # Another process has put its own there in this moment.
            return False

    async def aside(self) -> Collection[str]:
        return await asyncio.to_thread(lambda: [path.name for path in self._aside.iterdir()])

    async def put_back(self, sha256_hex: str) -> None:
        await asyncio.to_thread(self._put_back, place(self._kept, sha256_hex))

    def _put_back(self, path: Path) -> None:
        with self._placing, suppress(FileNotFoundError):
            (self._aside / path.name).replace(path)
        _sync_folder(path.parent)

    async def remove_aside(self, instant: datetime) -> int:
        return await asyncio.to_thread(self._remove_aside, instant.timestamp())

    def _remove_aside(self, before: float) -> int:
        old = [path for path in self._aside.iterdir() if path.stat().st_mtime < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    async def sizes(self) -> Mapping[str, int]:
        return await asyncio.to_thread(
            lambda: {path.name: path.stat().st_size for path in self._kept.glob("??/*")}
        )


class LocalIncoming:
    """Implements ``files.ports.Incoming``: gathers, hashes and writes a megabyte at a time."""

    def __init__(self, file: FileIO, path: Path, kept: Path, placing: Lock) -> None:
        self._file = file
        self._path = path
        self._kept = kept
        self._placing = placing
        # Who gives an upload up does not wait for the thread that writes it: closed beneath its
        # hands, the descriptor could be another file's by then.
        self._using = Lock()
        self._hash = sha256()
        self._chunks: list[bytes] = []
        self._waiting = 0

    async def write(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        if self._waiting >= _BUFFER:
            await self._flush()

    async def finish(self) -> str:
        await self._flush()
        return self._hash.hexdigest()

    async def keep(self) -> None:
        reach(BEFORE_SYNC)
        await _away(self._keep)
        reach(AFTER_KEEP)

    async def discard(self) -> None:
        await asyncio.to_thread(self._discard)

    async def _flush(self) -> None:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._waiting = 0
        if data:
            await _away(lambda: self._write(data))

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        view = memoryview(data)
        with self._using:
            while view:
                view = view[self._file.write(view) :]

    def _keep(self) -> None:
        with self._using:
            os.utime(self._file.fileno())  # kept now, however long it took to come
            os.fsync(self._file.fileno())
            self._file.close()
        place_ = place(self._kept, self._hash.hexdigest())
        # The same bytes may be there already: replacing them with themselves changes nothing.
        with self._placing:
            self._path.replace(place_)
        _sync_folder(place_.parent)

    def _discard(self) -> None:
        with self._using:
            self._file.close()
        self._path.unlink(missing_ok=True)


def place(kept: Path, sha256_hex: str) -> Path:
    """Where the bytes of a hash are: 256 folders, so that none grows too large."""
    if len(sha256_hex) != 64 or not sha256_hex.isalnum():
        raise FileNotFound("There is no such file.")
    return kept / sha256_hex[:2] / sha256_hex


def _age(path: Path) -> float:
    """When it was written last; what has just gone is as young as can be."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        with suppress(OSError):
            os.close(descriptor)


async def _away(work: Callable[[], T]) -> T:
    """Run disk work on a thread; a disk that is full or away is not the client's fault."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise FilesUnavailable("The file cannot be kept now.") from error
