"""The report as one HTML page that needs nothing else: no script, no font, no address."""

from collections.abc import Iterator, Sequence
from html import escape

from orderkeep.doctor.examine import Report
from orderkeep.doctor.findings import Finding
from orderkeep.doctor.telling import Teller
from orderkeep.doctor.text import shown

STYLE = """
:root { color-scheme: light dark; --ink: #1c1917; --soft: #57534e; --line: #d6d3d1; --paper: #fff;
  --critical: #b91c1c; --serious: #a16207; --notice: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f5f4; --soft: #a8a29e; --line: #44403c;
  --paper: #1c1917; --critical: #fca5a5; --serious: #fcd34d; --notice: #93c5fd; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; } p { margin: .4rem 0; } .soft { color: var(--soft); }
section.found { border-top: 1px solid var(--line); padding: 1rem 0; }
.critical { color: var(--critical); } .serious { color: var(--serious); }
.notice { color: var(--notice); } li { margin: .4rem 0; }
code { display: block; white-space: pre-wrap; }
code, pre { font: .85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { border: 1px solid var(--line); padding: .5rem .75rem; white-space: pre-wrap; }
"""


def page(report: Report) -> str:
    """The whole page, with every name of the broker's escaped."""
    tell = Teller(report)
    head = (
        f'<!doctype html>\n<html lang="{report.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(tell.say('title'))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(_body(tell)) + "\n</body>\n</html>\n"


def _body(tell: Teller) -> Iterator[str]:
    yield f"<h1>{escape(tell.say('title'))}</h1>\n<p class=soft>{escape(tell.header())}</p>"
    yield f"<h2>{escape(tell.say('verdict'))}</h2>"
    yield from (f"<p>{escape(sentence)}</p>" for sentence in tell.verdict())
    yield from (f"<p><strong>{escape(step)}</strong></p>" for step in tell.steps())
    for heading, notes in (("unseen", tell.unseen()), ("not-visible", tell.hidden())):
        yield from _notes(tell.say(heading), list(notes))
    if tell.report.findings:
        yield f"<h2>{escape(tell.say('findings'))}</h2>"
    for found in tell.by_rule():
        yield from _rule(tell, found)


def _notes(heading: str, notes: Sequence[str]) -> Iterator[str]:
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        yield f"<h2>{escape(heading)}</h2>\n<ul>{items}</ul>"


def _rule(tell: Teller, found: Sequence[Finding]) -> Iterator[str]:
    first = found[0]
    number = f"{tell.say('rule')} {first.rule}: {tell.effects(first)}"
    yield f'<section class="found"><h3>{escape(first.title)}</h3>'
    weight = f'<span class="{first.severity}">{escape(tell.say(first.severity))}</span>'
    yield f"<p class=soft>{escape(number)}; {weight}</p>"
    yield f"<p>{escape(first.meaning)}</p><p>→ {escape(first.advice)}</p>\n<ul>"
    yield from (_finding(tell, one) for one in found)
    yield "</ul></section>"


def _finding(tell: Teller, one: Finding) -> str:
    at_risk = f"; {tell.say('at-risk')}: {one.at_risk}" if one.at_risk else ""
    lines = "\n".join(f"{field} = {shown(value)}" for field, value in one.evidence.items())
    fix = f"<pre>{escape(chr(10).join(one.fix))}</pre>" if one.fix else ""
    where = escape(tell.place(one.place) + at_risk)
    return f"<li>{where}<br><code>{escape(lines)}</code>{fix}</li>"
