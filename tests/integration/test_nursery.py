"""What the nursery forks is a process like any other that its holder started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.testing import nursery
from orderkeep.testing.nursery import Child, Nursery

DEADLINE_S = 150.0
ANYWHERE = {"PATH": os.environ["PATH"]}
MES = ("simulate", "mes", "--port", "0", "--journal", "journal.jsonl")


@pytest.fixture(scope="module")
def forks() -> Iterator[Nursery]:
    with Nursery() as one:
        yield one


@pytest.mark.usefixtures("forks")
def test_a_command_ends_with_its_own_exit_code_output_and_complaint(tmp_path: Path) -> None:
    helped = nursery.run(("--help",), ANYWHERE, tmp_path, DEADLINE_S)
    wrong = nursery.run(("run",), ANYWHERE | {"ORDERKEEP_MES": "what?"}, tmp_path, DEADLINE_S)

    assert helped.returncode == 0
    assert "Usage:" in helped.stdout
    assert wrong.returncode == 64
    assert "ORDERKEEP_MES" in wrong.stderr


@pytest.mark.usefixtures("forks")
def test_each_process_has_its_own_folder_and_ends_by_the_signal_it_is_sent(tmp_path: Path) -> None:
    begun = [_mes(tmp_path / name) for name in ("killed", "stopped")]

    for one, number in zip(begun, (signal.SIGKILL, signal.SIGTERM), strict=True):
        assert one.poll() is None
        os.kill(one.pid, number)

    assert [one.wait(DEADLINE_S) for one in begun] == [-signal.SIGKILL, 0]
    assert not any(Path(f"/proc/{one.pid}").exists() for one in begun)
    assert all((tmp_path / name / "journal.jsonl").exists() for name in ("killed", "stopped"))


@pytest.mark.usefixtures("forks")
def test_who_tells_the_loader_something_gets_a_fresh_interpreter(tmp_path: Path) -> None:
    told = ANYWHERE | {"LD_PRELOAD": ""}

    one = nursery.start(("--help",), told, tmp_path, tmp_path / "log")

    assert isinstance(one, subprocess.Popen)
    said, _ = one.communicate(timeout=DEADLINE_S)
    assert "Usage:" in said


def _mes(folder: Path) -> Child:
    """A process of ours that says one line when it is there."""
    folder.mkdir()
    one = nursery.start(MES, ANYWHERE, folder, folder / "log")
    assert isinstance(one, Child)
    with one.stdout as said:
        assert "http://127.0.0.1:" in said.readline()
    return one


def test_orphans_of_others_are_not_adopted_once_it_has_ended(tmp_path: Path) -> None:
    # In an interpreter of its own: here a nursery may still be open.
    program = tmp_path / "orphan.py"
    program.write_text(
        "import os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from orderkeep.testing.nursery import Nursery\n"
        "with Nursery():\n"
        "    pass\n"
        'between = \'import subprocess; print(subprocess.Popen(["sleep", "60"], stdout=2).pid)\'\n'
        "orphan = int(subprocess.check_output([sys.executable, '-c', between]))\n"
        "told = Path(f'/proc/{orphan}/stat').read_text().rpartition(')')[2].split()[1]\n"
        "os.kill(orphan, 9)\n"
        "print(int(told) == os.getpid())\n",
        encoding="utf-8",
    )

    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
