"""Runs histories and adds up what struck: ``python -m orderkeep.testing.histories FROM TO``."""

import gc
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from orderkeep.kernel.failpoints import FAILPOINTS
from orderkeep.testing.store import SimStore
from orderkeep.testing.world import World

ENOUGH_FAILURES = 10


class Report(msgspec.Struct):
    """What some histories saw; ``failures`` by seed.

    ``crashed_at`` names every failpoint of the simulated world; others are killed at elsewhere.
    """

    histories: int = 0
    fewest_faults: int = 1_000_000
    crashed_at: dict[str, int] = {}
    struck: dict[str, int] = {}
    failures: dict[int, str] = {}

    def merge(self, other: "Report") -> None:
        """Add another's."""
        self.histories += other.histories
        self.fewest_faults = min(self.fewest_faults, other.fewest_faults)
        self.crashed_at = {
            name: self.crashed_at.get(name, 0) + other.crashed_at.get(name, 0)
            for name in self.crashed_at | other.crashed_at  # Also where none has crashed.
        }
        self.struck = dict(Counter(self.struck) + Counter(other.struck))
        self.failures |= other.failures

    def add(self, world: World) -> None:
        """Add one history."""
        one = Report(
            1, world.faults.total, dict(world.faults.crashed_at), dict(world.faults.struck)
        )
        self.merge(one)


def run(seeds: Iterable[int]) -> Report:
    """Live through the histories of some seeds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    report, store = Report(crashed_at=dict.fromkeys(FAILPOINTS, 0)), SimStore()
    gc.freeze()  # What is loaded by now stays: no need to look at it again and again.
    gc.set_threshold(50_000, 20, 50)
    memory = Path("/dev/shm")  # noqa: S108  # Syncing to a disk is the store's tests' business.
    parent = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="orderkeep-histories-", dir=parent) as folder:
        for seed in seeds:
            world = World(seed, store, Path(folder) / str(seed))
            try:
                world.run()
            except Exception as failure:  # noqa: BLE001  # The seed is the finding.
                report.failures[seed] = f"{type(failure).__name__}: {failure}"
                store = SimStore()
            report.add(world)
            if len(report.failures) >= ENOUGH_FAILURES:
                break
    return report


if __name__ == "__main__":
    first, last, step = [*map(int, sys.argv[1:]), 1][:3]
    sys.stdout.buffer.write(msgspec.json.encode(run(range(first, last, step))) + b"\n")
