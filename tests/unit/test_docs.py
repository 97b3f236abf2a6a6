"""What the documents say works: their links lead somewhere, their commands and settings exist."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from orderkeep.config import PREFIX, Settings
from orderkeep.orders.order import Stage

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s/])orderkeep((?: +[^\s|;&#>`]+)+)")
OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)(?=[ `#\n]|$)")

document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def test_there_is_a_document_for_everybody() -> None:
    """Whoever arrives finds what it is, how it is built, how to help and what changed."""
    names = {path.name for path in DOCUMENTS}

    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= names
    assert (ROOT / "docs/glossary.md").exists()


def test_every_setting_is_in_the_reference() -> None:
    reference = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    sections = {
        "rules": "RULES_",
        "mes_http": "MES_",
        "crm": "CRM_",
        "reconcile": "RECONCILE_",
        "lost": "LOST_",
    }
    names = {
        f"{PREFIX}{one.name.upper()}"
        for one in fields(Settings)
        if one.name not in sections and not one.metadata.get("in_file_only")
    }
    for name, prefix in sections.items():
        names |= {
            f"{PREFIX}{prefix}{one.name.upper()}" for one in fields(getattr(Settings(), name))
        }

    assert set(re.findall(r"^\| `(\w+)`", reference, re.MULTILINE)) == names


def test_every_stage_is_in_the_glossary() -> None:
    """One word, one meaning: whoever meets a stage on the wire can look it up."""
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

    assert [stage for stage in Stage if f"`{stage}`" not in glossary] == []


@document
def test_links_lead_somewhere(path: Path) -> None:
    links = LINK.findall(path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


@document
def test_make_commands_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for shell in _shell(path) for name in MAKE.findall(shell)}

    assert named - targets == set()


@document
def test_orderkeep_commands_and_their_options_exist(path: Path) -> None:
    called = [
        call for shell in _shell(path) for call in COMMAND.findall(shell.replace("\\\n", " "))
    ]
    missing = {
        f"orderkeep {' '.join(_words(call))} {option}"
        for call in called
        for option in OPTION.findall(call)
        if option not in _help(_words(call))
    }

    assert missing == set()


@document
def test_snippets_are_well_formed(path: Path) -> None:
    readers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "toml": tomllib.loads,
        "python": lambda text: compile(text, str(path), "exec"),
        "sh": _parse_shell,
        "bash": _parse_shell,
    }
    for language, text in SNIPPET.findall(path.read_text(encoding="utf-8")):
        readers.get(language, str)(text)


def _shell(path: Path) -> list[str]:
    """Shell snippets, and commands in the running text."""
    text = path.read_text(encoding="utf-8")
    snippets = SNIPPET.findall(text)
    blocks = [body for language, body in snippets if language in {"sh", "bash"}]
    sessions = [body for language, body in snippets if language == "console"]
    typed = [line for body in sessions for line in re.findall(r"^\$ (.*)", body, re.MULTILINE)]
    return blocks + typed + re.findall(r"`((?:make|orderkeep) [^`\n]+)`", SNIPPET.sub("", text))


def _words(call: str) -> tuple[str, ...]:
    """The command and subcommand of a call: its leading plain words."""
    return tuple(takewhile(re.compile("[a-z][a-z-]*$").match, call.split()))


@cache
def _help(words: tuple[str, ...]) -> str:
    """What ``--help`` answers; a command that does not exist fails the test."""
    program = Path(sys.executable).parent / "orderkeep"
    wide = {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    asked = [str(program), *words, "--help"]
    return subprocess.run(asked, env=wide, check=True, capture_output=True, text=True).stdout


def _parse_shell(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, capture_output=True)
