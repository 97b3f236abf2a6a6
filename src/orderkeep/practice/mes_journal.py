"""A practice far side's journal: one JSON line for every request, effect, status and answer.

An entry is handed to the kernel before anything after it happens, so a killed process leaves a
true account; ``sync`` puts it on the disk, and no answer leaves before that.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from orderkeep.kernel.errors import Conflict, Refused, Unavailable


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line. ``effect`` is what the far side keeps.

    At a MES a job was ``created`` or ``recalled``. A CRM was ``told`` of an order, or newer news of
    it ``overtaken`` by older; its people ``decided`` what ``said`` holds.

    ``body_sha256`` hashes the bytes that came; ``submission_sha256`` is the sender's own hash of
    the acknowledged submission. Bodies themselves are not kept: an engraving is personal.
    """

    at: datetime
    kind: Literal["request", "effect", "status", "answer"]
    op: str = ""
    reference: str | None = None
    mes_id: str | None = None
    idempotency_key: str | None = None
    body_sha256: str | None = None
    submission_sha256: str | None = None
    effect: Literal["created", "recalled", "told", "overtaken", "decided"] | None = None
    status: str | None = None
    http_status: int | None = None
    fault: str | None = None
    in_flight: int | None = None
    version: int | None = None
    said: dict[str, Any] | None = None
    traceparent: str | None = None


class JournalInUse(Conflict):
    """Another practice system writes this journal."""


class JournalDamaged(Refused):
    """A line in the middle of the journal cannot be read."""


class JournalFailed(Unavailable):
    """The disk took no more; the practice system stops rather than answer what it cannot prove."""


class Journal:
    """Appends entries to a file that only this process writes."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise JournalInUse(f"another practice system writes {path}") from error
        self._path = path
        self._cut_torn_line()

    def entries(self) -> list[Entry]:
        """All entries from the first."""
        return read_journal(self._path)

    def append(self, entry: Entry) -> None:
        """Hand an entry to the kernel: it outlives this process, not yet a power loss."""
        line = msgspec.json.encode(entry) + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise JournalFailed("the journal cannot be written") from error
        if written != len(line):
            raise JournalFailed("the disk under the journal is full")

    def sync(self) -> None:
        """Return when every entry is on the disk."""
        try:
            os.fdatasync(self._file)  # Syncs the length too; only the file's times stay behind.
        except OSError as error:
            raise JournalFailed("the journal cannot be synced") from error

    def close(self) -> None:
        os.close(self._file)

    def _cut_torn_line(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # The process died inside a write; nobody was answered from it.
            os.ftruncate(self._file, whole)


def read_journal(path: Path) -> list[Entry]:
    """The entries of a journal, also of one being written: an unfinished last line is left out.

    Raises:
        JournalDamaged: a finished line is not an entry.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_entry(line, number) for number, line in enumerate(lines, start=1)]


def effects(entries: Iterable[Entry], effect: str = "created") -> Counter[str]:
    """How often each reference had an effect at the far side."""
    return Counter(e.reference for e in entries if e.effect == effect and e.reference is not None)


def _entry(line: bytes, number: int) -> Entry:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError as error:
        raise JournalDamaged(f"line {number} of the journal is not an entry") from error
