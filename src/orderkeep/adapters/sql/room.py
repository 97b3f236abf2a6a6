"""Whether a disk that was full has room again.

A full disk still takes a single row now and then, in the space that an emptied log leaves. Whoever
trusted that would call the next orders, and refuse them.
"""

import os
from contextlib import suppress
from pathlib import Path

ROOM_BYTES = 1024 * 1024
"""About what the orders of a rush need in one commit."""


def has_room(database: Path) -> bool:
    """Write as much beside the database, and take it away again."""
    trial = Path(f"{database}-room")
    try:
        with trial.open("wb", buffering=0) as file:
            written = file.write(os.urandom(ROOM_BYTES))  # nothing that a file system could squeeze
            os.fsync(file.fileno())
        return written == ROOM_BYTES
    except OSError:
        return False
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)
