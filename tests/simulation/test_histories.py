"""The promise in a simulated world: ten thousand histories of five orders, from ten thousand seeds.

A seed that fails is printed; ``python -m orderkeep.testing.replay SEED`` tells its history.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest

from orderkeep.testing.histories import Report
from orderkeep.testing.replay import replay

HISTORIES = int(os.environ.get("ORDERKEEP_HISTORIES", "10000"))
CRASHES_AT_EACH = HISTORIES // 200
PROCESSES = len(os.sched_getaffinity(0))


@contextmanager
def running(first: int, step: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The histories of every ``step``-th seed in a process of their own, ended in any case."""
    span = [str(number) for number in (first, HISTORIES, step)]
    command = [sys.executable, "-m", "orderkeep.testing.histories", *span]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def all_histories() -> Report:
    """Every history, on every processor we may use."""
    total = Report()
    with ExitStack() as stack:
        started = [stack.enter_context(running(one, PROCESSES)) for one in range(PROCESSES)]
        for process in started:
            told, _ = process.communicate()
            total.merge(msgspec.json.decode(told, type=Report))
    return total


def test_no_history_of_faults_breaks_the_promise(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    total = all_histories()

    lines = [f"{count:6} crashes at {name}" for name, count in sorted(total.crashed_at.items())]
    lines += [f"{count:6} × {kind}" for kind, count in sorted(total.struck.items())]
    histogram = "\n".join([f"{total.histories} histories", *lines]) + "\n"
    (tmp_path_factory.getbasetemp() / "histories.txt").write_text(histogram)
    with capsys.disabled():
        sys.stdout.write(f"\n{histogram}")
    replays = [f"{seed}: {why}" for seed, why in sorted(total.failures.items())]
    assert not replays, "python -m orderkeep.testing.replay SEED:\n" + "\n".join(replays)
    assert total.histories == HISTORIES
    assert total.fewest_faults >= 2
    seldom = {name: count for name, count in total.crashed_at.items() if count < CRASHES_AT_EACH}
    assert not seldom, f"failpoints that too few histories crashed at: {seldom}"


def test_a_seed_tells_the_same_history_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    seed = 4711

    first = replay(seed)
    told = capsys.readouterr().out
    second = replay(seed)

    assert capsys.readouterr().out == told
    assert first.book.events == second.book.events
    assert str(seed) in told
