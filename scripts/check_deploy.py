#!/usr/bin/env python3
"""Ask docker's and systemd's own tools whether what lies under deploy/ is well-formed.

Prints a line a check: what passed, what is wrong, or which tool is missing. Ends with 1 when
something is wrong, and with 69 when a tool is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
WRONG, MISSING = 1, 69
INSTALL = {
    "docker compose": "Docker's compose plugin, or apt-get install docker-compose",
    "systemd-analyze": "apt-get install systemd",
}


def main() -> None:
    """Run every check that can be run."""
    wrong = missing = False
    for name, tool, check in checks():
        if tool is None:
            print(f"{name}: not checked, {INSTALL[name]} is missing")
            missing = True
        elif faults := list(check(tool)):
            print(*(f"{name}: {fault}" for fault in faults), sep="\n")
            wrong = True
        else:
            print(f"{name}: fine ({' '.join(tool)})")
    sys.exit(WRONG if wrong else MISSING if missing else 0)


class Check(NamedTuple):
    """A tool, how it is called where it is installed, and what it has to say."""

    name: str
    tool: list[str] | None
    faults: Callable[[list[str]], Iterator[str]]


def checks() -> list[Check]:
    """Every check there is."""
    verify = ["systemd-analyze", "verify"] if shutil.which("systemd-analyze") else None
    return [
        Check("docker compose", _compose(), compose_faults),
        Check("systemd-analyze", verify, systemd_faults),
    ]


def compose_faults(tool: list[str]) -> Iterator[str]:
    """What docker compose says against compose.yaml."""
    call = [*tool, "--file", str(DEPLOY / "compose" / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield from done.stderr.splitlines() or [f"ended with {done.returncode}"]


def systemd_faults(tool: list[str]) -> Iterator[str]:
    """What systemd says against the units, as if orderkeep were installed where they expect it."""
    with tempfile.TemporaryDirectory() as place:
        units = Path(place) / "systemd"
        shutil.copytree(DEPLOY / "systemd", units)
        for unit in (*units.rglob("*.service"), *units.rglob("*.conf")):
            text = unit.read_text(encoding="utf-8")
            unit.write_text(text.replace("/opt/orderkeep/bin/orderkeep", sys.executable), "utf-8")
        roles = ("door", "office", "relay", "bridge", "courier", "quoter", "watch")
        kinds = ("-migrate", *(f"@{role}" for role in roles))
        names = [f"orderkeep{kind}.service" for kind in kinds]
        names += ["orderkeep@door.socket", "orderkeep@office.socket"]
        done = subprocess.run(
            [*tool, "--man=no", "--recursive-errors=no", *(str(units / name) for name in names)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        )
    said = [line for line in done.stderr.splitlines() if "orderkeep" in line]
    yield from said or ([f"ended with {done.returncode}"] if done.returncode else [])


def _compose() -> list[str] | None:
    for call in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(call[0]) and _answers([*call, "version"]):
            return call
    return None


def _answers(call: list[str]) -> bool:
    return subprocess.run(call, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
