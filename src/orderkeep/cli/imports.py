"""``orderkeep import``: what other systems hold, brought where somebody works on it."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from orderkeep.cli.groups import group
from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.stores import opened
from orderkeep.cli.who import system_user
from orderkeep.config import Settings
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.errors import Refused
from orderkeep.ledger.lost import Table, read_csv
from orderkeep.ledger.lost_list import Imported
from orderkeep.ledger.worklist import Worklist
from orderkeep.observe.logs import set_up_logs
from orderkeep.roles.failpoints import arm

app = group("Bring in what other systems hold.")


@app.callback()
def imports() -> None:
    """Bring in what other systems hold."""


@app.command()
def lost(
    file: Annotated[
        Path | None, typer.Argument(help="A CSV with a heading; `number` is the only need.")
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Read the configured database view instead of a file.")
    ] = False,
    source: Annotated[
        str, typer.Option(help="What the other system is called; its numbers are its own.")
    ] = "csv",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
) -> None:
    """Put orders that another system lost on the list that brings them back.

    All rows or none: bad ones are named by their line, exit status 64. The same file again changes
    nothing. Works beside a running server and without one.
    """
    settings = settings_or_exit()
    set_up_logs(settings.log_level, "import")
    if settings.failpoint is not None and settings.test_mode:
        arm(settings.failpoint)
    if (file is None) is not view:
        raise typer.BadParameter("a FILE, or --view")
    table = read_csv(file.read_bytes()) if file else asyncio.run(read_view(settings))
    name = source if file else settings.lost.source
    told = asyncio.run(_imported(settings, table, name, dry_run=dry_run))
    print(msgspec.json.encode(told).decode() if as_json else _text(told))


async def _imported(settings: Settings, table: Table, source: str, *, dry_run: bool) -> Imported:
    async with opened(settings) as store:
        worklist = Worklist(store, SystemClock(), asks=settings.mes == "http")
        return await worklist.take(table, source, f"command:{system_user()[:40]}", dry_run=dry_run)


async def read_view(settings: Settings) -> Table:
    """The rows of the view that is set up.

    Raises:
        Refused: none is.
    """
    from orderkeep.adapters.sql.foreign import read_table

    if settings.lost.database_url is None or settings.lost.query is None:
        raise Refused("Set ORDERKEEP_LOST_DATABASE_URL and ORDERKEEP_LOST_QUERY first.")
    return await read_table(settings.lost.database_url, settings.lost.query)


def _text(told: Imported) -> str:
    lines = [
        f"{told.rows} orders of {told.source}",
        f"{told.fresh} new on the list, {told.found_here} found here, {told.known} known already",
    ]
    lines += [f"left out: column {name}" for name in told.ignored]
    lines += ["nothing was changed"] if told.dry_run else []
    return "\n".join(lines)
