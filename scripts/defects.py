#!/usr/bin/env python3
"""Plant known defects in a copy of this checkout, one at a time, and see the suite catch each.

    scripts/defects.py [NAME ...] [--workers N] [--json FILE]

A patch under tests/defects names the rule that it breaks, what that means, and the tests that have
to notice; those pass without it. Ends with 1 unless every defect is caught.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests" / "defects"
RULES = {
    "1": "carried is what the broker has confirmed and not sent back",
    "2": "on our disk, then the ack",
    "3": "while the store is away nothing is consumed, and nothing dropped",
    "4": "no delivery is held while its effect is done",
    "5": "a new connection has everything anew, and the backlog flows",
    "6": "nothing overtakes within an order",
    "7": "rows are found by what they are, not by where the last one was",
    "8": "a bell is cleared before the look, not after it",
    "9": "what was received is known for ever",
    **{f"S{n}": "" for n in range(1, 11)},  # The promise, in docs/reliability.md.
}
"""What delivery keeps to, and the lines of the promise: each of them has a defect."""

DEADLINE_S = 300.0
"""For the tests of one defect; one that makes them hang is not caught, it is in the way."""
SAYS_SO = ("AssertionError", "Failed", "assert ")
"""How a test fails that saw a promise broken; other errors may mean that the code does not run."""


@dataclass(frozen=True)
class Defect:
    """A patch and what its head says."""

    name: str
    rule: str
    breaks: str
    caught_by: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What the named tests said of a copy; ``why`` is empty when they said what they had to."""

    name: str
    rule: str
    breaks: str
    caught_by: tuple[str, ...]
    seconds: float
    why: str
    said: dict[str, str]
    """How each test failed."""


def main() -> None:
    """Plant what was asked for, or everything."""
    asked = _arguments()
    defects = [one for one in known() if not asked.names or one.name in asked.names]
    if strangers := set(asked.names) - {one.name for one in defects}:
        sys.exit(f"No such defect: {', '.join(sorted(strangers))}")
    verdicts = judge(defects, asked.workers)
    for line in table(verdicts):
        print(line)
    if asked.json:
        told = [asdict(one) for one in verdicts]
        Path(asked.json).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    sys.exit(any(one.why for one in verdicts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a patch's name; all without one")
    parser.add_argument("--workers", type=int, default=2, help="copies that are tried side by side")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts there as well")
    return parser.parse_args()


# --- patches --------------------------------------------------------------------------------------


def known() -> list[Defect]:
    """Every defect, in the order of the rules."""
    found = [read(path) for path in PATCHES.glob("*.patch")]
    return sorted(found, key=lambda one: (list(RULES).index(one.rule), one.name))


def read(path: Path) -> Defect:
    """The head of a patch: lines of ``Rule:``, ``Breaks:`` and ``Caught-by:``."""
    head = path.read_text(encoding="utf-8").partition("\ndiff --git ")[0]
    lines = [line.partition(": ")[::2] for line in head.splitlines() if line]
    values = {name: [value for key, value in lines if key == name] for name, _ in lines}
    [rule], [breaks] = values["Rule"], values["Breaks"]
    return Defect(path.stem, rule, breaks, tuple(values["Caught-by"]))


def apply(name: str, folder: Path, *how: str) -> None:
    """Apply a patch in a folder, or only ``--check`` it.

    Raises:
        subprocess.CalledProcessError: it does not fit; ``stderr`` says where.
    """
    patch = PATCHES / f"{name}.patch"
    # Above the folder there may be a repository, and git would think of its paths.
    alone = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    command = ["git", "apply", *how, str(patch)]
    subprocess.run(command, cwd=folder, env=alone, check=True, capture_output=True, text=True)


# --- copies ---------------------------------------------------------------------------------------


@contextmanager
def copy() -> Iterator[tuple[Path, Path]]:
    """A copy of what is in this checkout, and a Python that runs it, in children as well."""
    with tempfile.TemporaryDirectory(prefix="orderkeep-defect-") as made:
        folder = Path(made)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        yield folder, _python(folder)


def _python(folder: Path) -> Path:
    """A Python beside the copy: whoever starts its own program again starts the copy's code."""
    venv.create(folder / ".venv", symlinks=True)
    [packages] = (folder / ".venv").glob("lib/python*/site-packages")
    [ours] = (Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages / "copy.pth").write_text(f"{folder / 'src'}\n{ours}\n", encoding="utf-8")
    python = folder / ".venv" / "bin" / "python"
    asked = [str(python), "-c", "import orderkeep; print(orderkeep.__file__)"]
    said = subprocess.run(asked, env=_environment(), check=True, capture_output=True, text=True)
    if not Path(said.stdout.strip()).is_relative_to(folder / "src"):
        raise RuntimeError(f"a copy would run the code of {said.stdout.strip()}")
    return python


def _environment() -> dict[str, str]:
    """Ours, with the programs of our environment, and with nobody's code but the copy's."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return ours | {"PATH": programs}


# --- verdicts -------------------------------------------------------------------------------------


def judge(defects: Sequence[Defect], workers: int) -> list[Verdict]:
    """What the tests say of the code as it is, file by file, and of every defect."""
    tests = sorted({test for one in defects for test in one.caught_by})
    files = sorted({test.partition("::")[0] for test in tests})
    sound = [
        Defect(file, "", "nothing", tuple(t for t in tests if t.partition("::")[0] == file))
        for file in files
    ]
    with ThreadPoolExecutor(workers) as pool:
        return [*pool.map(_sound, sound), *pool.map(_planted, defects)]


def _sound(one: Defect) -> Verdict:
    began = perf_counter()
    with copy() as (folder, python):
        said = run(folder, python, one.caught_by)
    why = "; ".join(f"{test} {how}".strip() for test, how in said.items())
    return _verdict(one, began, why, said)


def _planted(one: Defect) -> Verdict:
    began = perf_counter()
    with copy() as (folder, python):
        try:
            apply(one.name, folder)
        except subprocess.CalledProcessError as unfit:
            return _verdict(one, began, f"does not apply: {' '.join(unfit.stderr.split())}", {})
        said = run(folder, python, one.caught_by)
    return _verdict(one, began, missed(one.caught_by, said), said)


def _verdict(one: Defect, began: float, why: str, said: dict[str, str]) -> Verdict:
    return Verdict(**asdict(one), seconds=round(perf_counter() - began, 1), why=why, said=said)


def missed(caught_by: Sequence[str], said: dict[str, str]) -> str:
    """Why a defect does not count as caught; empty if every named test saw it."""
    if "" in said:
        return said[""]
    silent = [test for test in caught_by if test not in said]
    other = [f"{test}: {how}" for test, how in said.items() if not how.startswith(SAYS_SO)]
    return "; ".join([*(f"{test} passes" for test in silent), *other])


def run(folder: Path, python: Path, tests: Sequence[str]) -> dict[str, str]:
    """How tests failed, by their name without parameters; under ``""`` why they did not run."""
    report = folder / "report.xml"
    command = [str(python), "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += ["--tb", "short", f"--junitxml={report}", *tests]
    with (folder / "output.txt").open("w") as output, subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=output, stderr=output,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return {"": f"did not end within {DEADLINE_S:g} s"}
    if process.returncode not in {0, 1} or not report.exists():
        said = (folder / "output.txt").read_text(errors="replace")[-500:]
        return {"": f"did not run: {' '.join(said.split())}"}
    return _failures(report)


def _failures(report: Path) -> dict[str, str]:
    failed: dict[str, str] = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314  # Our own.
        path = case.get("classname", "").replace(".", "/")
        name = f"{path}.py::{case.get('name', '').partition('[')[0]}"
        for error in case.iter("error"):  # before or after the test itself
            return {"": f"{name}: {error.get('message', '')}"}
        for failure in case.iter("failure"):
            failed.setdefault(name, failure.get("message", "").partition("\n")[0])
    return failed


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The verdicts for people, as Markdown."""
    yield "| defect | rule | what it breaks | caught by | seconds |"
    yield "| --- | --- | --- | --- | --- |"
    for one in verdicts:
        tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in one.caught_by)
        said = f"**NOT CAUGHT**: {one.why}" if one.why else tests
        if not one.rule:
            said = f"**FAILS WITHOUT A DEFECT**: {one.why}" if one.why else "passes"
        yield f"| {one.name} | {one.rule} | {one.breaks} | {said} | {one.seconds:g} |"


if __name__ == "__main__":
    main()
