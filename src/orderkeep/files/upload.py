"""Taking in a model file: bytes to disk first, then the row that names them."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orderkeep.files.names import safe_name
from orderkeep.files.ports import (
    DigestMismatch,
    FileKeeper,
    FileNotFound,
    FileWork,
    Incoming,
    StoredFile,
)
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Fault, Invalid, Refused, Unavailable
from orderkeep.kernel.ids import FileId, Ids, PartnerId
from orderkeep.kernel.store import Store

MAX_FILE_BYTES = 600 * 1024 * 1024
MAX_UPLOADS = 64
MAX_UPLOADS_EACH = 16
"""Of one partner: a slow one must not keep the door shut for the others."""
STORED = "stored"
_HEX = re.compile(r"[0-9a-f]{64}")
_CONTENT_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):\s*(?:,|$)")


class FileTooLarge(Refused):
    """More bytes came than a file may have; ``facts["limit_bytes"]`` says how many."""


class TooManyUploads(Unavailable):
    """As many files as we take at once are on their way already."""


@dataclass(frozen=True, slots=True)
class Uploader:
    """Who uploads; ``by`` names the key or the person."""

    partner_id: PartnerId | None
    by: str


class Files:
    """Takes files in and tells what is known about them."""

    def __init__(  # Everything passed in.
        self,
        store: Store[FileWork],
        keeper: FileKeeper,
        clock: Clock,
        ids: Ids,
        *,
        max_bytes: int = MAX_FILE_BYTES,
        max_uploads: int = MAX_UPLOADS,
        max_uploads_each: int = MAX_UPLOADS_EACH,
        kept: Callable[[StoredFile], None] = lambda _: None,
    ) -> None:
        self._kept = kept
        self._store = store
        self._keeper = keeper
        self._clock = clock
        self._ids = ids
        self._places = max_uploads
        self._places_each = max_uploads_each
        self._taking: Counter[PartnerId | None] = Counter()
        self.max_bytes = max_bytes

    async def take(
        self,
        uploader: Uploader,
        name: str,
        chunks: AsyncIterator[bytes],
        announced_sha256: str | None = None,
    ) -> StoredFile:
        """Keep a file; returning means its bytes and its row are on disk.

        Raises:
            FileTooLarge, DigestMismatch, Invalid: refused; nothing is kept.
            TooManyUploads, FilesUnavailable, StoreBusy: nothing is kept; try again later.
        """
        with self._place(uploader.partner_id):
            incoming = await self._keeper.receive()
            try:
                return await self._take(incoming, uploader, name, chunks, announced_sha256)
            finally:
                await incoming.discard()

    @contextmanager
    def _place(self, partner_id: PartnerId | None) -> Iterator[None]:
        all_taken = self._taking.total() >= self._places
        if all_taken or self._taking[partner_id] >= self._places_each:
            raise TooManyUploads("Too many files are being taken in; try again soon.")
        self._taking[partner_id] += 1
        try:
            yield
        finally:
            self._taking[partner_id] -= 1
            self._taking += Counter()  # forgets who has none under way

    async def find(self, partner_id: PartnerId | None, file_id: FileId) -> StoredFile:
        """One of the partner's files.

        Raises:
            FileNotFound: there is none, or it is another's: both look the same.
        """
        found = await self._store.read(lambda work: work.files.find([file_id]))
        file = found.get(file_id)
        if file is None or file.partner_id != partner_id:
            raise FileNotFound("There is no such file.")
        return file

    async def _take(
        self,
        incoming: Incoming,
        uploader: Uploader,
        name: str,
        chunks: AsyncIterator[bytes],
        announced_sha256: str | None,
    ) -> StoredFile:
        size = await self._copy(chunks, incoming)
        sha256 = await incoming.finish()
        if size == 0:
            raise Invalid([Fault("", "empty", "the file has no bytes")])
        if announced_sha256 is not None and announced_sha256 != sha256:
            raise DigestMismatch("The bytes that came are not those that were announced.")
        await incoming.keep()
        file = StoredFile(
            id=FileId(self._ids.token()),
            partner_id=uploader.partner_id,
            uploaded_by=uploader.by,
            sha256=sha256,
            size_bytes=size,
            name=safe_name(name),
            state=STORED,
            at=self._clock.now(),
        )
        await self._store.write(lambda work: work.files.add(file))
        self._kept(file)
        return file

    async def _copy(self, chunks: AsyncIterator[bytes], incoming: Incoming) -> int:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.max_bytes:
                raise FileTooLarge("The file is too large.", limit_bytes=self.max_bytes)
            await incoming.write(chunk)
        return size


def announced_sha256(content_digest: str | None, x_content_sha256: str | None) -> str | None:
    """The hash that the sender announced, in hex: ``Content-Digest`` (RFC 9530) or plain hex.

    Raises:
        Invalid: announced, but not readable.
    """
    if x_content_sha256 is not None:
        if _HEX.fullmatch(x_content_sha256.strip().lower()):
            return x_content_sha256.strip().lower()
        raise Invalid([Fault("/X-Content-SHA256", "format", "must be 64 hex digits")])
    match = _CONTENT_DIGEST.search(content_digest or "")
    if not match:
        return None  # Other algorithms may be ignored, says RFC 9530.
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Invalid([Fault("/Content-Digest", "format", "must hold a SHA-256 in Base64")])
    return digest.hex()
