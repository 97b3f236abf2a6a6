"""``orderkeep export``: every order with its events, for other programs."""

import os
import sys
from typing import Annotated

import msgspec
import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.stores import ledger_of


def export(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print every order with its events, as they all were at one instant.

    Works beside a running server and without one.
    """
    if not as_json:
        raise typer.BadParameter("JSON is the only form there is: orderkeep export --json")
    ledger = ledger_of(settings_or_exit())
    encoder = msgspec.json.Encoder()
    try:
        with ledger.snapshot() as snapshot:
            for order in snapshot.exported():
                sys.stdout.buffer.write(encoder.encode(order) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _stop_quietly()
    finally:
        ledger.close()


def _stop_quietly() -> None:
    """Whoever read us has enough; the interpreter must not stumble over it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
