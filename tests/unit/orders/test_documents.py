"""The glossary and the lifecycle page say what the code says: no word is missing, none is stale."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest

from orderkeep.access.rights import Role
from orderkeep.orders.commands import OrderCommand
from orderkeep.orders.ending import OUTCOMES
from orderkeep.orders.events import ActorKind, Event, OrderEvent
from orderkeep.orders.order import Delivered, PriceState, Risk, Stage
from orderkeep.orders.transitions import TRANSITIONS

DOCS = Path(__file__).parents[3] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
LIFECYCLE = (DOCS / "lifecycle.md").read_text(encoding="utf-8")
AUDIENCES = ["client", "partner", "operator", "seller", "support"]
REGIONS = ["+ hold", "+ late"]
KINDS: Mapping[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(OrderEvent)
}


def _table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head; code marks taken off."""
    _, _, below = text.partition(f"{heading}\n")
    lines = re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def _words(enum: type[StrEnum]) -> set[str]:
    return {str(word) for word in enum}


@pytest.mark.parametrize(
    "section,words",
    [
        ("Stages", _words(Stage)),
        ("Price", _words(PriceState)),
        ("Delivery", _words(Delivered)),
        ("Risk", _words(Risk)),
        ("Roles of people", _words(Role)),
        ("Actors", _words(ActorKind)),
        ("Return", {"open", "in_inspection", "resolved"}),
        ("Outcomes of a return", set(OUTCOMES)),
        ("Events", set(KINDS)),
        ("Commands", {command.__name__ for command in get_args(OrderCommand)}),
        (
            "Roles of processes",
            {"door", "office", "relay", "bridge", "courier", "quoter", "watch"},
        ),
    ],
)
def test_each_word_of_the_code_is_in_the_glossary(section: str, words: set[str]) -> None:
    rows = _table(GLOSSARY, f"## {section}")

    assert {row[0] for row in rows} == words
    assert all(row[1].strip() for row in rows), "a word without a meaning"


def test_each_word_of_the_style_is_in_the_glossary() -> None:
    words = {row[0] for row in _table(GLOSSARY, "## Words")}

    assert {
        *("submission", "receipt", "order", "stage", "version", "envelope", "outbox", "relay"),
        *("transport", "inbox", "attempt", "dead letter", "replay", "bridge", "work order"),
        *("reconciliation", "model file", "price book", "quote", "claim", "lease", "SLA", "due"),
        *("overdue", "breach", "alert", "role", "channel", "operator"),
    } <= words


@pytest.mark.parametrize("language", ["Russian", "English"])
def test_every_stage_has_a_word_for_everybody(language: str) -> None:
    rows = _table(GLOSSARY, f"### {language}")

    assert [row[0] for row in rows] == [*map(str, Stage), *REGIONS]
    assert all(len(row) == 1 + len(AUDIENCES) and all(row) for row in rows)


def test_both_languages_know_the_same_facts() -> None:
    """A text of one language does not promise a fact that the other leaves out."""
    russian, english = (_table(GLOSSARY, f"### {name}") for name in ("Russian", "English"))

    for ours, theirs in zip(russian, english, strict=True):
        for audience, one, other in zip(AUDIENCES, ours[1:], theirs[1:], strict=True):
            if audience != "partner":  # whose words in English are those of the API
                assert one.count("…") == other.count("…"), (ours[0], audience)


def test_the_russian_words_are_russian_and_the_english_are_not() -> None:
    cyrillic = re.compile("[а-яё]", re.IGNORECASE)
    for language, expected in (("Russian", True), ("English", False)):
        for row in _table(GLOSSARY, f"### {language}"):
            told = [cell for cell in row[1:] if cell != "–"]
            assert {bool(cyrillic.search(cell)) for cell in told} == {expected}, row[0]


# --- the lifecycle page ---------------------------------------------------------------------------


def _stages(cell: str) -> frozenset[Stage | None]:
    if cell == "any":
        return frozenset(Stage)
    if cell == "any open":
        return frozenset(Stage) - {Stage.CLOSED, Stage.CANCELLED}
    if cell == "(same)":
        return frozenset()
    names = [name.strip().strip("`") for name in cell.split(",")]
    return frozenset(None if name == "–" else Stage(name) for name in names)


def test_the_steps_on_the_page_are_the_steps_in_the_code() -> None:
    told = {row[1]: (_stages(row[0]), _stages(row[2])) for row in _table(LIFECYCLE, "## Steps")}

    assert told == {
        kind: (TRANSITIONS[event].at, TRANSITIONS[event].to) for kind, event in KINDS.items()
    }


def test_each_step_says_who() -> None:
    assert all(row[3].strip() for row in _table(LIFECYCLE, "## Steps"))


def test_the_picture_shows_every_change_of_stage() -> None:
    arrow = re.compile(r"^ +(\S+) --> (\w+): (\S+)$", re.MULTILINE)
    drawn = {(tail, head, kind) for tail, head, kind in arrow.findall(LIFECYCLE)}

    assert drawn == {
        ("[*]" if tail is None else str(tail), str(head), kind)
        for kind, event in KINDS.items()
        for tail in TRANSITIONS[event].at
        for head in TRANSITIONS[event].to
        if tail is not head
    }


def test_every_stage_can_be_reached_and_only_the_ends_have_no_way_on() -> None:
    ways = _ways()
    reached: set[Stage] = set()
    ahead: Sequence[Stage] = [Stage.INITIATED, Stage.SUBMITTED]
    while ahead:
        reached |= {*ahead}
        ahead = [head for tail in ahead for head in ways[tail] if head not in reached]

    assert reached == set(Stage)
    assert {stage for stage in Stage if not ways[stage]} == {Stage.CLOSED, Stage.CANCELLED}


def _ways() -> Mapping[Stage, set[Stage]]:
    return {
        tail: {
            head
            for transition in TRANSITIONS.values()
            if tail in transition.at
            for head in transition.to
            if head is not tail
        }
        for tail in Stage
    }
