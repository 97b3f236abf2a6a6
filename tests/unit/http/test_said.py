"""Our sentences are read back from what is stored, and all have words in both languages."""

import re
from pathlib import Path

import pytest

from orderkeep.delivery.dead_letters import cause_of
from orderkeep.http.office.said import CATALOGUE, said
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.sentences import Catalogue, Sentence

ROOT = Path(__file__).resolve().parents[3]
WORDS = ROOT / "web/src/shared/i18n"
SOURCE = ROOT / "src/orderkeep"
CLASS = re.compile(r"^class (\w+)\(([\w, ]+)\):", re.MULTILINE)
LINE = re.compile(r'^  (\w+):\s*"((?:[^"\\]|\\.)*)",$', re.MULTILINE)
PLURALS = {"ru": 3, "en": 2}
UNHEARD = ("access", "bench", "cli", "doctor", "http", "practice", "testing")
"""Whose refusals answer a person or a program, and are never what an envelope was put aside for."""
FACTS = {
    "error": "TransitionRefused",
    "n": "12",
    "reference": "OK-000012/2",
    "told": "9",
    "version": "7",
    "command": "approve",
    "word": "not-mapped",
    "kind": "price.wanted",
    "at": "2026-11-23 10:05",
    "said": "The order is closed.",
    "quote": "Unbekannter Werkstoff: 925",
}


def facts_of(sentence: Sentence) -> dict[str, str]:
    return {name: FACTS.get(name, f"{name} it was") for name in sentence.facts}


@pytest.mark.parametrize("sentence", CATALOGUE.sentences, ids=lambda one: one.code)
def test_what_is_written_is_read_back(sentence: Sentence) -> None:
    facts = facts_of(sentence)

    read = said(sentence(**facts))

    assert read is not None
    assert read.code == sentence.code
    told = {**read.facts, **({"said": read.inner.text} if read.inner else {})}
    assert told == facts


@pytest.mark.parametrize(
    "text, code, inner",
    [
        ("the MES has it as 47-11, and we never asked for it", "unasked", None),
        ("nothing has moved for 3 days; the MES says nothing", "stands_silent", None),
        ("we say it is rejected, the MES has it as 47-11 (None)", "there_all_the_same", None),
        ("the MES refused the work order", "mes_refused_plain", None),
        ("rests nowhere: PRICE_CALCULATED, price ready", "rests_nowhere", None),
        (
            "rests nowhere: it waits for a price that nobody is asked for",
            "stranded",
            "nobody_asked",
        ),
        (
            "the last news is rejected: the CRM refused the news (422): no such client",
            "crm_news_because",
            "crm_refused_because",
        ),
        ("OK-000012/1: not shown any more", "heard", "not_shown"),
        ("OK-000012: approve: The order is closed.", "heard", "crm_command"),
        ("MesRejected: no such alloy", "failed_saying", None),
        ("KeyError", "failed", None),
        (
            "dead letter of the broker: rejected in orders, 2 times; not an envelope: no id",
            "broker_died_times_unread",
            None,
        ),
        ("not-mapped: The mapping found nothing for client_ref.", "put_aside", "found_nothing"),
    ],
)
def test_rows_that_are_there_already_are_understood(
    text: str, code: str, inner: str | None
) -> None:
    read = said(text)

    assert read is not None
    assert (read.code, read.inner.code if read.inner else None) == (code, inner)


def test_what_others_said_stays_as_it_was() -> None:
    read = said("Legierung 925 ist aus")

    assert read is not None
    assert (read.code, read.text) == (None, "Legierung 925 ist aus")
    assert said("") is None


def test_a_word_of_a_foreign_system_is_never_taken_for_ours() -> None:
    read = said("the CRM refused the news (409): taken back")

    assert read is not None
    assert (read.facts["quote"], read.inner) == ("taken back", None)


def test_the_cause_of_a_group_has_no_numbers_and_keeps_its_sentence() -> None:
    read = said(cause_of("OK-000012/2: shown 3 times"))

    assert read is not None
    assert read.inner is not None
    assert (read.code, read.inner.code, read.inner.facts) == ("heard", "shown_times", {"n": "…"})


def test_two_sentences_never_share_a_code() -> None:
    with pytest.raises(ValueError, match="code"):
        Catalogue([Sentence("gone", "it is gone"), Sentence("gone", "it went")])


def words(language: str, group: str) -> dict[str, str]:
    text = (WORDS / f"said.{language}.ts").read_text("utf-8")
    name = f"{group}{language.capitalize()}"
    return dict(LINE.findall(text.partition(f"{name} = {{")[2].partition("\n}\n")[0]))


@pytest.mark.parametrize("language", PLURALS)
@pytest.mark.parametrize("sentence", CATALOGUE.sentences, ids=lambda one: one.code)
def test_every_sentence_has_its_words_and_all_its_facts(sentence: Sentence, language: str) -> None:
    forms = words(language, "said")[sentence.code].split(" | ")

    assert len(forms) in {1, PLURALS[language]}
    for form in forms:
        assert set(re.findall(r"\{(\w+)\}", form)) == {*sentence.facts}


@pytest.mark.parametrize("language", PLURALS)
def test_every_reason_for_putting_an_envelope_aside_has_its_words(language: str) -> None:
    known = words(language, "failure")

    assert len(_refusals()) > 30
    assert _refusals() - {*known} == set()


def test_no_words_are_left_of_sentences_that_nobody_says() -> None:
    for language in PLURALS:
        there = words(language, "said").keys() - {"quoted", "crash"}
        assert there == {sentence.code for sentence in CATALOGUE.sentences}


@pytest.mark.parametrize("port", ["mes_http", "crm_http"])
def test_a_far_port_says_nothing_that_could_not_be_read_back(port: str) -> None:
    """Its errors' sentences are kept beside orders: each has to come from the catalogue."""
    source = (SOURCE / f"adapters/{port}/port.py").read_text("utf-8")

    loose = re.findall(r"(?:Rejected|Refused|Unavailable|Unknown)\(\s*f?\"[^\"]+", source)

    assert "say." in source
    assert loose == []


def _refusals() -> set[str]:
    """The names of all refusals, as far as the source says whose children they are."""
    parents = {
        name: {one.strip() for one in bases.split(",")}
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in UNHEARD
        for name, bases in CLASS.findall(path.read_text("utf-8"))
    }
    found = {Refused.__name__}
    while more := {name for name, bases in parents.items() if bases & found} - found:
        found |= more
    return found
