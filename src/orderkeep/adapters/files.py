"""Model files in a local folder, each under the SHA-256 of its bytes.

Written by hand and not through obstore: its local put neither syncs the file nor the folder
(seen with strace), so that an upload we acknowledged could be gone after a power cut.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from orderkeep.files.ports import FileNotFound, FilesUnavailable
from orderkeep.kernel.failpoints import failpoint, reach

T = TypeVar("T")

_INCOMING = "incoming"
_KEPT = "sha256"
_BUFFER = 1024 * 1024

BEFORE_SYNC = failpoint("file.before_sync", "some bytes of the file, under a name nobody knows")
AFTER_KEEP = failpoint("file.after_keep", "the whole file under its hash; no row names it yet")


class LocalFiles:
    """Implements ``files.ports.FileKeeper`` with a folder on a local disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        self._kept = root / _KEPT
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._kept.mkdir(exist_ok=True)
        # All of them now: two uploads into a new one could each trust the other to sync it.
        for number in range(256):
            (self._kept / f"{number:02x}").mkdir(exist_ok=True)
        _sync_folder(self._kept)
        _sync_folder(root)

    def forget_unfinished(self) -> int:
        """Delete what earlier processes left half taken in; call before the first ``receive``."""
        left = list(self._incoming.iterdir())
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    async def receive(self) -> "LocalIncoming":
        path = self._incoming / token_hex(16)
        return LocalIncoming(await _away(lambda: path.open("xb", buffering=0)), path, self._kept)

    @asynccontextmanager
    async def open(self, sha256_hex: str) -> AsyncIterator[Path]:
        path = place(self._kept, sha256_hex)
        if not await asyncio.to_thread(path.is_file):
            raise FileNotFound("There is no such file.")
        yield path

    async def sizes(self) -> Mapping[str, int]:
        return await asyncio.to_thread(
            lambda: {path.name: path.stat().st_size for path in self._kept.glob("??/*")}
        )


class LocalIncoming:
    """Implements ``files.ports.Incoming``: gathers, hashes and writes a megabyte at a time."""

    def __init__(self, file: FileIO, path: Path, kept: Path) -> None:
        self._file = file
        self._path = path
        self._kept = kept
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
        while view:
            view = view[self._file.write(view) :]

    def _keep(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        place_ = place(self._kept, self._hash.hexdigest())
        # The same bytes may be there already: replacing them with themselves changes nothing.
        self._path.replace(place_)
        _sync_folder(place_.parent)

    def _discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def place(kept: Path, sha256_hex: str) -> Path:
    """Where the bytes of a hash are: 256 folders, so that none grows too large."""
    if len(sha256_hex) != 64 or not sha256_hex.isalnum():
        raise FileNotFound("There is no such file.")
    return kept / sha256_hex[:2] / sha256_hex


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
