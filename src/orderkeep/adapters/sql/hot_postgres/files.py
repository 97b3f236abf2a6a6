"""What is known about model files, many at once."""

from collections.abc import Collection, Mapping

from orderkeep.adapters.sql import files as sqlite
from orderkeep.adapters.sql.hot_postgres.base import Work
from orderkeep.files.ports import StoredFile
from orderkeep.kernel.ids import FileId

_FIND = f"SELECT {sqlite.COLUMNS} FROM files WHERE id = ANY($1::text[])"


class SqlFiles(sqlite.SqlFiles):
    """Implements ``files.ports.FileStore``."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._pg = work.pg

    def find(self, ids: Collection[FileId]) -> Mapping[FileId, StoredFile]:
        found = self._pg.fetch(_FIND, list(ids))
        return {FileId(row[0]): sqlite.stored_file(tuple(row)) for row in found}
