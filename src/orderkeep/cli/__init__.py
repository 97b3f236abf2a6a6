"""Commands for people: answers go to stdout, everything else to stderr, errors in one sentence.

A command's module is loaded when it is called, not before: `orderkeep --help` must not wait for
the web server that `orderkeep run` needs.
"""

import sqlite3
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from orderkeep.cli.sentences import sentence
from orderkeep.kernel.errors import Invalid, OrderkeepError
from orderkeep.observe.failures import written

WRONG_USAGE: Final = 64
"""Exit status of a call or a setting that is wrong."""
NOT_DONE: Final = 69
"""Exit status of a command that could not do its work; stderr says why."""


# Of `quote` and `doctor` the usual 2 is an answer: no program may take a wrong call for it.
_USAGE_ERROR: Any = typer.BadParameter.__base__
_USAGE_ERROR.exit_code = WRONG_USAGE


class Command(NamedTuple):
    """Where a command lives: a function, or a group of its own, in a module not yet loaded."""

    place: str
    help: str


COMMANDS: Final[dict[str, Command]] = {
    "run": Command("run:run", "Start orderkeep; it runs until it is told to stop."),
    "migrate": Command("migrate:migrate", "Bring the database to the schema of this program."),
    "grants": Command("grants:grants", "Give every role a database user with the least rights."),
    "export": Command("export:export", "Print every order with its events, a JSON object a line."),
    "verify": Command("verify:verify", "Recompute every promise from the tables, name what fails."),
    "explain": Command("explain:explain_order", "Say why an order is where it is, and what to do."),
    "import": Command("imports:app", "Bring in orders that other systems lost or hold."),
    "dead-letters": Command("dead_letters:app", "Envelopes put aside with their reason."),
    "keys": Command("keys:app", "Keys that partners sign their calls with."),
    "people": Command("people:app", "People who sign in at the office."),
    "quote": Command("quote:quote", "Measure a model file and price it, line by line."),
    "doctor": Command("doctor:app", "Look at a broker that is there: where does it lose orders?"),
    "topology": Command("topology:topology", "What has to be at the RabbitMQ, and what differs."),
    "mappings": Command("mappings:app", "What the present systems' messages mean to us."),
    "sources": Command("sources:app", "How far each present system is taken over, and steps."),
    "simulate": Command("simulate:app", "Far sides to practise against, on this machine only."),
    "bench": Command("bench:app", "Benchmarks that print ratios."),
}


class Commands(TyperGroup):
    """A group that lists its commands from a table and loads only the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        listed = {name: _listed(name, command.help) for name, command in COMMANDS.items()}
        super().__init__(**{**attributes, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else _loaded(name), rest


app = typer.Typer(
    cls=Commands,
    name="orderkeep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: the boxes take longer to load than all the rest
    help="Made-to-order orders: never lost, never made twice, never invisible.",
)


@app.callback()
def orderkeep() -> None:
    """Made-to-order orders: never lost, never made twice, never invisible."""


def main() -> None:
    """The command line; ends the process."""
    try:
        app(prog_name="orderkeep")
    except Invalid as invalid:
        _say(*(f"{fault.pointer}: {fault.message}" for fault in invalid.faults))
        sys.exit(WRONG_USAGE)
    except (OrderkeepError, OSError, sqlite3.Error) as error:
        _say(sentence(error))
        sys.exit(NOT_DONE)
    except Exception as bug:  # noqa: BLE001  # A fault of ours, told without anybody's data.
        _say(written(bug))
        sys.exit(1)


def _loaded(name: str) -> Any:
    module, _, attribute = COMMANDS[name].place.partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    return typer.main.get_command(found) if isinstance(found, typer.Typer) else _single(found, name)


def _listed(name: str, help_: str) -> Any:
    def listed() -> None: ...

    listed.__doc__ = help_
    return _single(listed, name)


def _single(function: Callable[..., Any], name: str) -> Any:
    single = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    single.command(name)(function)
    return typer.main.get_command(single)


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
