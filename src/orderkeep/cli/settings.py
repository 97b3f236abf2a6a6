"""Settings for commands: read once, every wrong value listed."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import typer

from orderkeep.config import Settings, load
from orderkeep.kernel.errors import Invalid

WRONG_USAGE = 64


def settings_or_exit(**given: Any) -> Settings:
    """The settings, with what the command line gives on top; ends the process if any is wrong."""
    try:
        settings, strangers = load(os.environ, Path.cwd())
    except Invalid as invalid:
        for fault in invalid.faults:
            sys.stderr.write(f"{fault.pointer}: {fault.message}\n")
        raise typer.Exit(WRONG_USAGE) from None
    for name in strangers:
        sys.stderr.write(f"{name} means nothing to orderkeep.\n")
    chosen = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(settings, **chosen)
