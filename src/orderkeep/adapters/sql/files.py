"""What is known about model files."""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from orderkeep.adapters.sql.hot_sqlite.many import look_up
from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.files.ports import StoredFile
from orderkeep.kernel.ids import FileId, PartnerId

COLUMNS = "id, partner_id, uploaded_by, sha256, size_bytes, name, state, at"
_ADD = f"INSERT INTO files ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
# CROSS JOIN keeps the order of the tables: what is asked for leads, the index answers.
_FIND = f"SELECT {COLUMNS} FROM {{asked}} CROSS JOIN files ON id = column1"
_NAMED = "SELECT 1 FROM files WHERE sha256 = ? LIMIT 1"


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...


class SqlFiles:
    """Implements ``files.ports.FileStore``; on every order's path, so on the bare driver."""

    def __init__(self, work: _Work) -> None:
        self._raw = work.raw

    def add(self, file: StoredFile) -> None:
        values = (
            file.id,
            file.partner_id,
            file.uploaded_by,
            file.sha256,
            file.size_bytes,
            file.name,
            file.state,
            to_micros(file.at),
        )
        self._raw.execute(_ADD, values)

    def find(self, ids: Collection[FileId]) -> Mapping[FileId, StoredFile]:
        rows = look_up(self._raw, _FIND, "(?)", [(one,) for one in ids])
        return {FileId(row[0]): stored_file(row) for row in rows}

    def named(self, sha256: str) -> bool:
        return self._raw.execute(_NAMED, (sha256,)).fetchone() is not None


def stored_file(row: tuple[Any, ...]) -> StoredFile:
    """The file in a row of ``COLUMNS``."""
    id_, partner_id, uploaded_by, sha256, size_bytes, name, state, at = row
    return StoredFile(
        id=FileId(id_),
        partner_id=PartnerId(partner_id) if partner_id is not None else None,
        uploaded_by=uploaded_by,
        sha256=sha256,
        size_bytes=size_bytes,
        name=name,
        state=state,
        at=from_micros(at),
    )
