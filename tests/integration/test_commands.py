"""The command line as a whole: quick to start, quiet about its insides, short about errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orderkeep.cli import COMMANDS

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"
HEAVY = {"sqlalchemy", "alembic", "litestar", "uvicorn", "httpx", "numba", "rich", "structlog"}


def call(
    folder: Path, *words: str, command: tuple[str, ...] = COMMAND, **settings: str
) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
    return subprocess.run(
        [*command, *words],
        env=ours | settings,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def loaded_by(folder: Path, *words: str) -> set[str]:
    """The modules in a process that has run the command."""
    program = f"from orderkeep.cli import app; app({list(words)}, standalone_mode=False); {LOADED}"
    done = call(folder, command=(sys.executable, "-c", program))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = call(tmp_path, "--help")

    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_starts_from_any_folder(tmp_path: Path, name: str) -> None:
    done = call(tmp_path, name, "--help")

    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_listing_the_commands_loads_none_of_them(tmp_path: Path) -> None:
    assert loaded_by(tmp_path, "--help") & HEAVY == set()


def test_looking_at_a_database_loads_neither_server_nor_engine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    assert call(tmp_path, "migrate", ORDERKEEP_DATABASE_URL=url).stdout == "0001\n"
    program = (
        "import os, sys; from orderkeep.cli import app;"
        f"app(['verify'], standalone_mode=False); {LOADED}"
    )

    done = call(tmp_path, command=(sys.executable, "-c", program), ORDERKEEP_DATABASE_URL=url)

    assert set(json.loads(done.stdout.splitlines()[-1])) & HEAVY == set()


@pytest.mark.parametrize("name", ["run", "export", "verify", "migrate"])
def test_every_wrong_setting_is_listed(tmp_path: Path, name: str) -> None:
    words = [name, "--json"] if name == "export" else [name]

    done = call(tmp_path, *words, ORDERKEEP_MES="fax", ORDERKEEP_PORT="many")

    assert done.returncode == 64
    assert done.stdout == ""
    assert done.stderr.count("\n") == 2
    assert "ORDERKEEP_MES" in done.stderr
    assert "ORDERKEEP_PORT" in done.stderr


def test_a_database_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = call(tmp_path, "migrate", ORDERKEEP_DATABASE_URL="sqlite:////proc/orderkeep.db")

    assert done.returncode == 69
    assert done.stderr.count("\n") == 1


def test_a_misspelt_command_is_corrected(tmp_path: Path) -> None:
    done = call(tmp_path, "verfy")

    assert done.returncode == 64
    assert "Did you mean 'verify'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_option_is_never_taken_for_a_finding(tmp_path: Path, name: str) -> None:
    """Of `quote` 2 means that a person has to look, of `doctor` that it could not."""
    done = call(tmp_path, name, "--no-such-option")

    assert done.returncode == 64
    assert "No such option" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, told",
    [
        (["run", "--port", "99999"], "--port"),
        (["simulate", "mes", "--port", "-1"], "--port"),
        (["simulate", "mes", "--fault", "banana"], "no fault 'banana'"),
        (["simulate", "crm", "--fault", "500:op=submit"], "tell, find, commands"),
        (["simulate", "mes", "--fault", "500:op=tell"], "submit, find, list"),
        (["sources", "home", "channel", "shop", "mirrored", "--because", " "], "say why"),
        (["bench", "overload", "--role", "king"], "king"),
        (["bench", "delivery", "--only", "nobody"], "nobody"),
        (["bench", "faults", "--fault", "none such"], "none such"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_told_in_a_sentence(tmp_path: Path, words: list[str], told: str) -> None:
    done = call(tmp_path, *words)

    assert done.returncode == 64
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "OK-000013"],
        ["sources", "list"],
        ["dead-letters", "list"],
        ["export", "--json"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_who_only_looks_makes_no_database_in_a_wrong_folder(
    tmp_path: Path, words: list[str]
) -> None:
    done = call(tmp_path, *words)

    assert done.returncode == 69
    assert done.stderr == "There is no database var/orderkeep.db.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["import", "lost", "nope.csv"],
        ["simulate", "mes", "--config", "nope.csv"],
        ["doctor", "rabbitmq", "--definitions", "nope.csv"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path, words: list[str]) -> None:
    done = call(tmp_path, *words)

    assert done.returncode != 0
    assert done.stderr.endswith("nope.csv: No such file or directory\n")
