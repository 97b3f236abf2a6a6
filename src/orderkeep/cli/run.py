"""``orderkeep run``: start the product, or one role of it, in the foreground."""

import sys
from typing import Annotated

import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.kernel.errors import OrderkeepError


def run(
    role: Annotated[
        list[str] | None, typer.Option(help="Start only this role; may be repeated.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The public port; 0 picks a free one.")] = None,
    office_port: Annotated[
        int | None, typer.Option(help="The staff's port; 0 picks a free one.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes for door and office.")] = 1,
) -> None:
    """Start orderkeep and keep it running until it is told to stop."""
    from orderkeep.http.serve import run as run_loop  # Start-up of the others.
    from orderkeep.observe.logs import set_up_logs
    from orderkeep.roles.run import ROLES
    from orderkeep.roles.run import run as run_roles

    settings = settings_or_exit(port=port, office_port=office_port)
    roles = frozenset(role) if role else ROLES
    if unknown := roles - ROLES:
        _exit(f"There is no role {', '.join(sorted(unknown))}; {', '.join(sorted(ROLES))} exist.")
    if workers != 1:
        shared = not settings.database_url.startswith("sqlite:")
        _exit(
            "--workers is not in this release: start the role again, on another port."
            if shared
            else "With SQLite one process serves everything: --workers is for PostgreSQL."
        )
    set_up_logs(settings.log_level, ",".join(sorted(role)) if role else "all")
    try:
        run_loop(run_roles(settings, roles, _say))
    except (OrderkeepError, OSError) as error:
        _exit(str(error))


def _say(ports: dict[str, int]) -> None:
    """Tell whoever started us that we are ready, and where."""
    for role, port in sorted(ports.items()):
        sys.stdout.write(f"{role} ready on port {port}\n")
    sys.stdout.write("orderkeep is ready\n")
    sys.stdout.flush()


def _exit(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    raise typer.Exit(64)
