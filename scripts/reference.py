#!/usr/bin/env python3
"""Write docs/reference from the program itself; ``--check`` only says whether it is current."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer.main
from typer.core import TyperGroup

from orderkeep.cli import app
from orderkeep.doctor.rulebook import RULES, Rule
from orderkeep.doctor.words import english
from orderkeep.http.door.openapi import openapi
from orderkeep.roles import asyncapi
from orderkeep.roles.contracts import Contract, contracts, promise, schema
from orderkeep.testing.doctor_cases import how_tested

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def main() -> None:
    """Write, or check, every generated page."""
    pages = {
        "asyncapi.json": asyncapi.written().decode(),
        "commands.md": commands(),
        "doctor.md": doctor_rules(),
        "messages.md": messages(),
        "public-api.md": public_api(),
        **schemas(),
    }
    stale = [name for name, text in pages.items() if _read(name) != text]
    if "--check" in sys.argv:
        sys.exit(f"Not current, run `make reference`: {', '.join(stale)}" if stale else 0)
    for name in stale:
        (REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
        (REFERENCE / name).write_text(pages[name], encoding="utf-8")


def _read(name: str) -> str | None:
    page = REFERENCE / name
    return page.read_text(encoding="utf-8") if page.exists() else None


# --- commands ------------------------------------------------------------------------------------


def commands() -> str:
    """The page of the command line."""
    group = typer.main.get_command(app)
    lines = ["# Commands", "", "Written by `make reference` from the program.", ""]
    return "\n".join([*lines, *_group(group, ["orderkeep"])]) + "\n"


def _group(group: Any, names: list[str]) -> Iterator[str]:
    context = click.Context(group, info_name=names[-1])
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        if isinstance(command, TyperGroup):
            yield from _group(command, [*names, name])
        else:
            yield from _command(command, [*names, name])


def _command(command: Any, names: list[str]) -> Iterator[str]:
    yield f"## `{' '.join(names)}`"
    yield from ("", " ".join((command.help or "").split()), "")
    shown = [one for one in command.params if one.name != "help" and not one.hidden]
    if shown:
        yield from ("| option | default | meaning |", "| --- | --- | --- |")
        yield from (_parameter(one) for one in shown)
        yield ""


def _parameter(one: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (one.opts or [one.name]))
    if one.param_type_name == "argument":
        names = f"`{one.name.upper()}`"
    default = "" if one.default in {None, ()} or callable(one.default) else f"`{one.default}`"
    meaning = " ".join((getattr(one, "help", None) or "").split()).replace("|", "\\|")
    return f"| {names} | {default if not one.required else 'required'} | {meaning} |"


# --- public API ----------------------------------------------------------------------------------


def public_api() -> str:
    """The page of the public API; the whole description is served at /openapi.json."""
    document = openapi()
    lines = [
        "# Public API",
        "",
        "Written by `make reference` from the program; a running door serves `/openapi.json`.",
        "How to use it: [For partners](../guides/partner-api.md).",
        "",
        "| call | does | answers |",
        "| --- | --- | --- |",
    ]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            if "responses" in operation:
                answers = ", ".join(sorted(operation["responses"]))
                summary = operation.get("summary", "")
                lines.append(f"| `{method.upper()} {path}` | {summary} | {answers} |")
    return "\n".join(lines) + "\n"


# --- messages ------------------------------------------------------------------------------------

FAMILIES = {
    "envelopes": "Between orderkeep's own processes; shown is the body of the envelope.",
    "events": "To partners and whoever else listens, as CloudEvents 1.0.",
    "mes": "To and from a MES behind HTTP that calls nothing by another name.",
    "crm": "To and from a CRM behind HTTP that calls nothing by another name.",
}


def messages() -> str:
    """The page of all messages."""
    lines = [
        "# Messages",
        "",
        "Written by `make reference` from the program; [asyncapi.json](asyncapi.json) is the same",
        "as an AsyncAPI 3 document. A message never changes: what has to be said differently is a",
        "new version beside the old one. Each has a sample, which every later release reads.",
    ]
    for family, meaning in FAMILIES.items():
        lines += ["", f"## {family.capitalize()}", "", meaning, ""]
        lines += ["| message | says | |", "| --- | --- | --- |"]
        lines += [_message(one) for one in contracts() if one.family == family]
    return "\n".join(lines) + "\n"


def _message(one: Contract) -> str:
    sample = f"[sample](../../tests/fixtures/messages/{one.place}.json)"
    return f"| `{one.name}` | {one.meaning} | [schema](schemas/{one.place}.json), {sample} |"


def schemas() -> dict[str, str]:
    """A JSON Schema for each message; a promise once written is never changed here."""
    found = {f"schemas/{one.place}.json": schema(one) for one in contracts()}
    broken = [
        name
        for name, wanted in found.items()
        if (kept := _read(name)) is not None and promise(json.loads(kept)) != promise(wanted)
    ]
    if broken:
        sys.exit(f"Changed without a new version of the message: {', '.join(broken)}")
    return {name: json.dumps(wanted, indent=2) + "\n" for name, wanted in found.items()}


# --- the doctor's rules --------------------------------------------------------------------------


def doctor_rules() -> str:
    """The page of the doctor's rules; how each is tested comes from the tests' own tables."""
    lines = [
        "# Rules of the doctor",
        "",
        "Written by `make reference` from the program and from the tables its tests run.",
        "How to use it: [Look at the RabbitMQ you have](../guides/doctor.md).",
        "",
        "The real broker is Debian's RabbitMQ 3.10. Recorded replies are those of a healthy",
        "cluster of three such nodes, with the fields changed that another version, or a fault",
        "we cannot cause, would change.",
        "",
        "| rule | key | what it finds | does | how tested |",
        "| --- | --- | --- | --- | --- |",
        *(_rule(rule) for rule in RULES),
    ]
    return "\n".join(lines) + "\n"


def _rule(rule: Rule) -> str:
    title = english.RULES[rule.key][0]
    does = ", ".join(rule.effects)
    return f"| {rule.number} | `{rule.key}` | {title} | {does} | {how_tested(rule.number)} |"


if __name__ == "__main__":
    main()
