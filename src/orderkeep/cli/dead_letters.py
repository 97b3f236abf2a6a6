"""``orderkeep dead-letters``: what was put aside, and sending it again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.delivery.dead_letters import MOST, grouped
from orderkeep.delivery.replay import Replayer

app = typer.Typer(no_args_is_help=True, help="Envelopes put aside with their reason.")

T = TypeVar("T")
_Json = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]


@app.command(name="list")
def list_groups(as_json: _Json = False) -> None:
    """Print groups by cause: fingerprint, letters, orders, first, last, who and why."""

    async def groups(store: Any, _: Replayer) -> Any:
        return grouped(await store.read(lambda work: work.dead_letters.letters(MOST)))

    found = _with(groups)
    lines = [
        f"{one.fingerprint}  {one.count:>6} letters  {one.orders:>6} orders  "
        f"{one.first_at:%Y-%m-%d %H:%M}  {one.last_at:%Y-%m-%d %H:%M}  "
        f"{one.consumer} {one.kind or '-'}: {one.cause}{' (parked)' if one.parked else ''}"
        for one in found
    ]
    print(_encoded(found) if as_json else "\n".join(lines) or "no dead letters")


@app.command()
def show(
    fingerprint: Annotated[str, typer.Argument(help="The group, as listed.")],
    as_json: _Json = False,
) -> None:
    """Print the letters of a group, without their bodies."""

    async def letters(store: Any, _: Replayer) -> Any:
        all_ = await store.read(lambda work: work.dead_letters.letters(MOST))
        return [one for one in all_ if one.fingerprint == fingerprint]

    found = _with(letters)
    lines = [
        f"{one.row}\t{one.order_key or '-'}\t{one.died_at:%Y-%m-%d %H:%M}\t"
        f"{one.attempts} tries\t{one.why}"
        for one in found
    ]
    print(_encoded(found) if as_json else "\n".join(lines) or "no such group")


@app.command()
def replay(
    fingerprint: Annotated[str, typer.Argument(help="The group, as listed.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
    by: Annotated[str, typer.Option(help="Who; kept for ever.")] = "cli",
    per_minute: Annotated[int, typer.Option(min=1, max=6000, help="Letters a minute.")] = 60,
    as_json: _Json = False,
) -> None:
    """Send the letters of a group again, few first; the running `watch` does it step by step."""
    if not dry_run and not reason.strip():
        raise typer.BadParameter("say why: --reason")

    async def begin(store: Any, replayer: Replayer) -> Any:
        told = await store.read(lambda work: replayer.preview(work, fingerprint))
        if dry_run:
            return told
        return await replayer.begin(fingerprint, told.cutoff, per_minute, by, reason)

    done = _with(begin)
    if as_json:
        print(_encoded(done))
    elif dry_run:
        print(", ".join(f"{verdict}: {number}" for verdict, number in done.verdicts.items()))
    else:
        print(f"replay {done.id} is {done.state}")


def _encoded(what: Any) -> str:
    return msgspec.json.encode(what).decode()


def _with(task: Callable[[Any, Replayer], Awaitable[T]]) -> T:
    """Do something beside a running server or without one."""
    return asyncio.run(_run(task))


async def _run(task: Callable[[Any, Replayer], Awaitable[T]]) -> T:
    from orderkeep.adapters.sql.store import open_store
    from orderkeep.kernel.bells import Bells
    from orderkeep.kernel.clock import SystemClock
    from orderkeep.kernel.ids import Ids
    from orderkeep.roles.replaying import replayer_of

    settings = settings_or_exit()
    if not settings.database_url.startswith("sqlite:"):
        sys.stderr.write("Dead letters of PostgreSQL are shown in the office.\n")
        raise typer.Exit(64)
    async with open_store(settings.database_url, Bells()) as store:
        return await task(store, replayer_of(settings, store, SystemClock(), Ids()))
