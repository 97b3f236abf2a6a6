"""What the documents say works: their links lead somewhere, their commands and settings exist."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)(?=[ `#\n]|$)")

document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def test_there_is_a_document_for_everybody() -> None:
    """Whoever arrives finds what it is, how it is built, how to help and what changed."""
    names = {path.name for path in DOCUMENTS}

    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= names
    assert (ROOT / "docs/glossary.md").exists()


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
    blocks = [body for language, body in SNIPPET.findall(text) if language in {"sh", "bash"}]
    return blocks + re.findall(r"`((?:make|orderkeep) [^`\n]+)`", SNIPPET.sub("", text))


def _parse_shell(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, capture_output=True)
