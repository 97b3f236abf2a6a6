"""The report as text: first the verdict for the owner, then the evidence for the engineer."""

import json
import textwrap
from collections.abc import Iterator, Sequence

from orderkeep.doctor.examine import Report
from orderkeep.doctor.findings import Finding
from orderkeep.doctor.telling import Teller

WIDTH = 96
MOST_SHOWN = 20
"""Places shown for one rule; the JSON has them all."""


def text(report: Report) -> str:
    """The whole report, ready to print."""
    return "\n".join(printable(line) for line in _lines(Teller(report)))


def printable(line: str) -> str:
    """A line that cannot command the terminal: names come from a stranger's broker."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def _lines(tell: Teller) -> Iterator[str]:
    yield from (tell.say("title"), tell.header(), "", tell.say("verdict").upper())
    for sentence in (*tell.verdict(), *tell.steps()):
        yield from _wrapped(sentence, "  ")
    for heading, notes in (("unseen", tell.unseen()), ("not-visible", tell.hidden())):
        told = list(notes)
        if told:
            yield from ("", tell.say(heading).upper())
        for note in told:
            yield from _wrapped(note, "  ")
    if tell.report.findings:
        yield from ("", tell.say("findings").upper())
    for found in tell.by_rule():
        yield from ("", *_rule(tell, found))


def _rule(tell: Teller, found: Sequence[Finding]) -> Iterator[str]:
    first = found[0]
    number = f"{tell.say('rule')} {first.rule}, {tell.effects(first)}, {tell.say(first.severity)}"
    yield f"{first.title}  [{number}]"
    yield from _wrapped(first.meaning, "  ")
    yield from _wrapped(f"→ {first.advice}", "  ")
    for one in found[:MOST_SHOWN]:
        yield from _finding(tell, one)
    if len(found) > MOST_SHOWN:
        yield f"    … {tell.say('more-places', count=len(found) - MOST_SHOWN)}"


def _finding(tell: Teller, one: Finding) -> Iterator[str]:
    at_risk = f"; {tell.say('at-risk')}: {one.at_risk}" if one.at_risk else ""
    yield f"    {tell.place(one.place)}{at_risk}"
    evidence = ", ".join(f"{field} = {shown(value)}" for field, value in one.evidence.items())
    yield from _wrapped(f"{tell.say('evidence')}: {evidence}", "      ")
    yield from (f"      $ {command}" for command in one.fix)


def shown(value: object) -> str:
    """A value of the broker's as it would look in its JSON, on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _wrapped(sentence: str, indent: str) -> list[str]:
    return textwrap.wrap(
        sentence, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
