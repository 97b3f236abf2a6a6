"""Several workers play cells side by side, each with servers of its own."""

import multiprocessing
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

from orderkeep.testing.matrix.cell import Cell, Row, play
from orderkeep.testing.matrix.every import every_cell
from orderkeep.testing.matrix.servers import Servers
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.nursery import Nursery

LOOK_S = 1.0


def play_all(
    cells: Sequence[Cell], seed: int, workers: int, kept: Path, say: Callable[[Row], None]
) -> list[Row]:
    """Play the cells; rows as they came. What a broken cell logged is kept in ``kept``."""
    processes = multiprocessing.get_context("spawn")
    wanted, done = processes.Queue(), processes.Queue()
    for cell in cells:
        wanted.put(cell.name)
    crew = [
        processes.Process(target=_work, args=(wanted, done, seed, kept))
        for _ in range(min(workers, len(cells)))
    ]
    signal.signal(signal.SIGTERM, _leave)
    for one in crew:
        wanted.put(None)
        one.start()
    try:
        return _collect(len(cells), crew, done, say)
    finally:
        for one in crew:
            one.terminate()
            one.join()


def _collect(number: int, crew: Sequence[Any], done: Any, say: Callable[[Row], None]) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < number:
        try:
            row = done.get(timeout=LOOK_S)
        except Empty:
            if not any(one.is_alive() for one in crew):
                raise RuntimeError("the workers ended before the cells were played") from None
            continue
        rows.append(row)
        say(row)
    return rows


def _leave(_number: int, _frame: Any) -> None:
    """Told to end, whoever has started something ends it first."""
    sys.exit(1)


def _work(wanted: Any, done: Any, seed: int, kept: Path) -> None:
    signal.signal(signal.SIGTERM, _leave)
    cells = {cell.name: cell for cell in every_cell()}
    with Nursery(), Servers() as servers:
        while (name := wanted.get()) is not None:
            done.put(play_and_keep(cells[name], seed, servers, kept))


def play_and_keep(cell: Cell, seed: int, servers: Servers, kept: Path) -> Row:
    """Play one, and keep its logs and the MES's journal when it is broken."""
    folder = Path(tempfile.mkdtemp(prefix="orderkeep-cell-"))
    try:
        row = play(cell, seed, servers, folder)
        if row.bad:
            _keep(folder, kept / cell.name.replace("/", "_").replace(" ", "-"))
        return row
    except Exception as failure:  # noqa: BLE001  # The servers themselves failed.
        return Row(
            cell.item, cell.profile, cell.fault, False, seed, 0.0, "", Verdict(), f"? {failure!r}"
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, kept: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 50_000_000:
            place = kept / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
