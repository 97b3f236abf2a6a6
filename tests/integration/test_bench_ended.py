"""A benchmark that is ended on the way takes away what it has started and made."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BEGINS_WITHIN_S = 120.0
GONE_WITHIN_S = 60.0
_CALLED = "from orderkeep.cli import main; main()"
# As a shell has it for what runs in its background.
_IGNORING = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {_CALLED}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """For its temporary folders; PostgreSQL, which is not root, can enter it."""
    with tempfile.TemporaryDirectory(prefix="orderkeep-ended-") as made:
        place = Path(made)
        place.chmod(0o755)
        yield place


@pytest.mark.parametrize(
    "command, begun",
    [
        (("overload", "--seconds", "60"), "orderkeep.bench.knocker"),
        (("delivery", "--only", "ours, embedded"), "orderkeep.bench.pipelines"),
        (("delivery", "--only", "ours, RabbitMQ"), "beam.smp"),
        (("accept", "--database", "postgresql"), "/postgres"),
    ],
)
@pytest.mark.parametrize("ignoring", [False, True])
def test_ended_on_the_way_it_leaves_no_process_and_no_folder(
    folder: Path, command: tuple[str, ...], begun: str, *, ignoring: bool
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _IGNORING if ignoring else _CALLED, "bench", *command],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        started = until_begun(process, begun)

        process.send_signal(signal.SIGTERM)
        until_taking_away(process, started)
        process.send_signal(signal.SIGTERM)  # As `timeout` does.
        process.wait(GONE_WITHIN_S)

        ends = time.monotonic() + GONE_WITHIN_S
        while (left := started & alive()) and time.monotonic() < ends:
            time.sleep(0.1)
        assert left == set()
        assert list(folder.iterdir()) == []
    finally:
        process.kill()


def until_begun(process: "subprocess.Popen[bytes]", begun: str) -> set[tuple[int, str]]:
    """Everything it has started, once something called so is among it."""
    ends = time.monotonic() + BEGINS_WITHIN_S
    while True:
        started = below(process.pid)
        if any(begun in words(pid) for pid, _ in started):
            return started
        assert process.poll() is None, "it has ended by itself"
        assert time.monotonic() < ends, "it has not begun"
        time.sleep(0.05)


def until_taking_away(process: "subprocess.Popen[bytes]", started: set[tuple[int, str]]) -> None:
    """Until the first of what it has started is gone: told at once again, it hears one word."""
    ends = time.monotonic() + GONE_WITHIN_S
    while process.poll() is None and started <= alive() and time.monotonic() < ends:
        time.sleep(0.005)


def below(pid: int) -> set[tuple[int, str]]:
    """The children of a process, and theirs."""
    parents = {one: parent for one, parent, _ in table()}
    kin = {pid}
    while more := {one for one, parent in parents.items() if parent in kin} - kin:
        kin |= more
    return {(one, since) for one, _, since in table() if one in kin - {pid}}


def alive() -> set[tuple[int, str]]:
    return {(pid, since) for pid, _, since in table()}


def table() -> list[tuple[int, int, str]]:
    """Every process that runs: its number, its parent's, and since when, for numbers come again."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            facts = place.read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        if facts[0] != "Z":
            found.append((int(place.parent.name), int(facts[1]), facts[19]))
    return found


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
