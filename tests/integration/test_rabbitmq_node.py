"""A test's own RabbitMQ ends with the test, however that ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEADLINE_S = 150.0

DIES = """
import os, signal, subprocess, sys
from orderkeep.testing import rabbitmq_node

class Deadly(subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__(command, **options)
        if any(sys.argv[1] in word for word in command):
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))

node = rabbitmq_node.RabbitNode(plugins=())
print(node.folder, flush=True)
subprocess.Popen = Deadly
node.start()
"""


@pytest.mark.parametrize("word", ["epmd", "rabbitmq-server"])
@pytest.mark.parametrize("sent", ["SIGTERM", "SIGKILL"])
def test_a_node_whose_test_is_ended_while_it_starts_leaves_nothing_behind(
    word: str, sent: str
) -> None:
    """It was ended between starting the broker and setting a guard over it."""
    died = subprocess.run(
        [sys.executable, "-c", DIES, word, sent],
        stdout=subprocess.PIPE, text=True, check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    folder = Path(died.stdout.strip())
    assert died.returncode == -getattr(signal, sent)
    assert folder.name.startswith("orderkeep-rabbit-")

    ends = time.monotonic() + DEADLINE_S
    while folder.exists() or processes_of(folder):
        assert time.monotonic() < ends, f"left behind: {folder}, {processes_of(folder)}"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """Everything that was started with this folder in its environment."""
    return [int(one.name) for one in Path("/proc").glob("[0-9]*") if _is_of(one, folder)]


def _is_of(process: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in (process / "environ").read_bytes()
    except OSError:
        return False
