"""The clock of living processes jumps, back and ahead; the MES and the machine keep the time."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, CannotRun, Cell, Scene
from orderkeep.testing.matrix.verdict import Verdict

JUMPS = ("-3600", "+172800")
"""Seconds off the true time, one after the other: an hour back, then two days ahead."""
EACH_S = 6.0
LIBRARY = "libfaketimeMT.so.1"
MISSING = "needs libfaketime: apt-get install libfaketime"


def cells() -> Iterator[Cell]:
    """Every process together, and then back to the true time, or not."""
    for profile in (EMBEDDED, SCALED_OUT):
        for fault, jumps in {
            "1 h back": JUMPS[:1],
            "1 h back, 2 d ahead": JUMPS,
            "2 d ahead, then right again": (JUMPS[1], "+0"),
            "1 h back, 2 d ahead, then right again": (*JUMPS, "+0"),
        }.items():
            yield Cell(profile, "clock", fault, partial(jumping, jumps=jumps))


def jumping(scene: Scene, jumps: tuple[str, ...]) -> Verdict:
    """Let the clock jump while orders come in; it stays where the last jump brought it."""
    now = scene.folder / "clock"
    set_clock(now, "+0")
    with scene.works(environment=faked(now)) as works, works.clients() as clients:
        works.begin()
        for jump in jumps:
            clients.more()
            set_clock(now, jump)
            clients.more()
            time.sleep(EACH_S)
        clients.more()
        return works.verdict(clients)


def set_clock(now: Path, seconds: str) -> None:
    """Let every process that looks there believe in another time."""
    other = now.with_suffix(".new")
    other.write_text(f"{seconds}\n", encoding="ascii")
    other.replace(now)  # At once: half a number would be another time.


def faked(now: Path) -> Mapping[str, str]:
    """The environment of a process whose wall clock follows a file.

    Raises:
        CannotRun: libfaketime is not installed.
    """
    found = next(Path("/usr/lib").glob(f"*/faketime/{LIBRARY}"), None)
    if found is None:
        raise CannotRun(MISSING)
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(now),
        # Looked at once a second: looking at every question would slow the process down a lot.
        "FAKETIME_CACHE_DURATION": "1",
        # Deadlines count by the monotonic clock, which never jumps.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
