"""What files asks of the store and of whatever keeps the bytes."""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from orderkeep.kernel.errors import Refused, Unavailable
from orderkeep.kernel.ids import FileId, PartnerId


class FileNotFound(Refused):
    """No such file, or not yours."""


class DigestMismatch(Refused):
    """The bytes that came are not those that were announced; nothing was kept."""


class FilesUnavailable(Unavailable):
    """The bytes cannot be kept now: the disk is full or away."""


class StoredFile(msgspec.Struct, frozen=True):
    """A model file we keep; ``partner_id`` is None for one uploaded in the office."""

    id: FileId
    partner_id: PartnerId | None
    uploaded_by: str
    sha256: str
    size_bytes: int
    name: str
    state: str
    at: datetime


class FileStore(Protocol):
    """What is known about files."""

    def add(self, file: StoredFile) -> None:
        """Keep a file whose bytes are on disk already."""
        ...

    def find(self, ids: Collection[FileId]) -> Mapping[FileId, StoredFile]:
        """The files among ``ids`` that exist, whosever they are."""
        ...

    def named(self, sha256: str) -> bool:
        """Whether any file has these bytes."""
        ...


class FileWork(Protocol):
    """A unit of work on files."""

    @property
    def files(self) -> FileStore: ...


class Incoming(Protocol):
    """Bytes on their way in; nobody sees them before ``keep`` has returned."""

    async def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            FilesUnavailable: the disk is full or away.
        """
        ...

    async def finish(self) -> str:
        """No more bytes; returns their SHA-256 in hex."""
        ...

    async def keep(self) -> None:
        """Keep them under their hash; returning means they survive a power cut.

        Raises:
            FilesUnavailable: the disk is full or away.
        """
        ...

    async def discard(self) -> None:
        """Forget them, unless they were kept."""
        ...


class FileKeeper(Protocol):
    """Keeps bytes under their own SHA-256."""

    async def receive(self) -> Incoming:
        """Begin to take in a file."""
        ...

    def open(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """The bytes as a local file to read while the context lasts.

        Raises:
            FileNotFound: no bytes are kept under this hash.
        """
        ...

    async def kept_before(self, instant: datetime) -> Collection[str]:
        """Every hash whose bytes were last kept before ``instant``."""
        ...

    async def set_aside(self, sha256: str, instant: datetime) -> bool:
        """Put bytes aside unless they have been kept again since ``instant``; whether it was."""
        ...

    async def aside(self) -> Collection[str]:
        """Every hash whose bytes lie aside; nobody else sees them."""
        ...

    async def put_back(self, sha256: str) -> None:
        """Keep again what was put aside."""
        ...

    async def remove_aside(self, instant: datetime) -> int:
        """Remove what was put aside before ``instant``; returns how many."""
        ...

    async def sizes(self) -> Mapping[str, int]:
        """Every hash that is kept, with the size of its bytes."""
        ...
