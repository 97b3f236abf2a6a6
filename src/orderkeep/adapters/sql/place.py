"""Whether the database is still where it was opened.

SQLite goes on writing to a file that has been deleted or moved away: every receipt given from then
on would be for an order that is gone with the process.
"""

from pathlib import Path

_Identity = tuple[int, int]


class Place:
    """The files of a database as they were when first seen."""

    def __init__(self, database: Path) -> None:
        self._files: dict[Path, _Identity | None] = {
            file: _identity(file) for file in (database, Path(f"{database}-wal"))
        }

    def holds(self) -> bool:
        """Whether the same files are still under the same names."""
        for file, known in self._files.items():
            found = _identity(file)
            if known is None:
                self._files[file] = found  # The log is made by the first transaction.
            elif found != known:
                return False
        return True


def _identity(file: Path) -> _Identity | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
