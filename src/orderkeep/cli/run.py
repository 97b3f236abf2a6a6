"""``orderkeep run``: start the product, or one role of it, in the foreground."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orderkeep.cli.settings import WRONG_USAGE, settings_or_exit
from orderkeep.config import HIGHEST_PORT, Settings
from orderkeep.kernel.errors import OrderkeepError


def run(
    role: Annotated[
        list[str] | None, typer.Option(help="Start only this role; may be repeated.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=HIGHEST_PORT, help="The public port; 0 picks a free one."),
    ] = None,
    office_port: Annotated[
        int | None,
        typer.Option(min=0, max=HIGHEST_PORT, help="The staff's port; 0 picks a free one."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes for each of door and office; on PostgreSQL only.")
    ] = 1,
    held: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    counted: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start orderkeep and keep it running until it is told to stop.

    With several workers SIGHUP replaces them one by one, without a request being lost.
    """
    from orderkeep.http.serve import run as run_loop  # Start-up of the others.
    from orderkeep.http.sockets import handed
    from orderkeep.http.sockets import held as taken_over
    from orderkeep.observe.logs import set_up_logs
    from orderkeep.roles.parent import SCALED, run_many
    from orderkeep.roles.run import ROLES
    from orderkeep.roles.run import run as run_roles

    settings = settings_or_exit(port=port, office_port=office_port)
    roles = frozenset(role) if role else ROLES
    if unknown := roles - ROLES:
        _exit(f"There is no role {', '.join(sorted(unknown))}; {', '.join(sorted(ROLES))} exist.")
    if workers > 1:
        _refuse_several(settings, roles & set(SCALED))
    set_up_logs(settings.log_level, ",".join(sorted(role)) if role else "all")
    try:
        theirs = handed(os.environ, os.getpid(), sorted(roles & set(SCALED)))
        if workers > 1:
            status = asyncio.run(run_many(settings, roles, workers, _say, theirs))
            raise typer.Exit(status)
        ours = {
            name: taken_over(int(n)) for name, _, n in (one.partition("=") for one in held or ())
        }
        run_loop(run_roles(settings, roles, _say, ours | theirs, counted))
    except (OrderkeepError, OSError) as error:
        _exit(str(error))


def _refuse_several(settings: Settings, scaled: frozenset[str]) -> None:
    if settings.database_url.startswith("sqlite:"):
        _exit("With SQLite one process serves everything: --workers is for PostgreSQL.")
    if not scaled:
        _exit("--workers is for door and office: of the other roles start as many as you like.")


def _say(ports: dict[str, int]) -> None:
    """Tell whoever started us that we are ready, and where."""
    for role, port in sorted(ports.items()):
        sys.stdout.write(f"{role} ready on port {port}\n")
    sys.stdout.write("orderkeep is ready\n")
    sys.stdout.flush()


def _exit(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    raise typer.Exit(WRONG_USAGE)
