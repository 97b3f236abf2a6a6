"""``orderkeep dead-letters``: what was put aside, and sending it again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from orderkeep.cli.groups import group
from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.who import person_who_may, system_user
from orderkeep.delivery.all_letters import all_letters
from orderkeep.delivery.dead_letters import MOST, Letter
from orderkeep.delivery.replay import Replayer
from orderkeep.kernel.errors import Refused

app = group("Envelopes put aside with their reason.")

_REPLAY = "dead_letters.replay"

T = TypeVar("T")
_Json = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]


@app.command(name="list")
def list_groups(as_json: _Json = False) -> None:
    """Print groups by cause: fingerprint, letters, orders, first, last, who and why."""

    async def groups(store: Any, _: Replayer) -> Any:
        return await store.read(lambda work: work.dead_letters.groups(MOST))

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
    """Print the letters of a group, the newest first, without their bodies."""

    async def tell(store: Any, _: Replayer) -> bool:
        # As they are read: there may be more of them than fit into memory.
        told = False
        async for letters in all_letters(store, fingerprint):
            if as_json:  # One list of all pages.
                sys.stdout.write(("," if told else "[") + _encoded(letters)[1:-1])
            else:
                print("\n".join(map(_line, letters)))
            told = True
        return told

    if not _with(tell):
        raise Refused(f"There is no group {fingerprint}: see `orderkeep dead-letters list`.")
    if as_json:
        print("]")


def _line(one: Letter) -> str:
    return (
        f"{one.row}\t{one.order_key or '-'}\t{one.died_at:%Y-%m-%d %H:%M}\t"
        f"{one.attempts} tries\t{one.why}{' (parked)' if one.parked else ''}"
    )


@app.command()
def replay(
    fingerprint: Annotated[str, typer.Argument(help="The group, as listed.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
    by: Annotated[str, typer.Option(help="Who: your login at the office; kept for ever.")] = "",
    per_minute: Annotated[int, typer.Option(min=1, max=6000, help="Letters a minute.")] = 60,
    release: Annotated[
        str, typer.Option(help="The release that mended the cause, if one did.")
    ] = "",
    as_json: _Json = False,
) -> None:
    """Send the letters of a group again, few first; the running `watch` does it step by step.

    What a second person has to approve is begun at the office.
    """
    if not dry_run and not reason.strip():
        raise typer.BadParameter("say why: --reason")
    if not dry_run and not by.strip():
        raise typer.BadParameter("say who you are: --by, with your login at the office")

    async def begin(store: Any, replayer: Replayer) -> Any:
        told = await store.read(lambda work: replayer.preview(work, fingerprint))
        if dry_run:
            return told
        person = await store.read(
            lambda work: person_who_may(work, by, _REPLAY, "send dead letters again")
        )
        return await replayer.begin(
            fingerprint,
            told.cutoff,
            per_minute,
            person.login,
            reason,
            release=release.strip() or None,
            at_machine=system_user(),
        )

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
    from orderkeep.cli.stores import opened
    from orderkeep.kernel.clock import SystemClock
    from orderkeep.kernel.ids import Ids
    from orderkeep.roles.replaying import replayer_of

    settings = settings_or_exit()
    async with opened(settings) as store:
        return await task(store, replayer_of(settings, store, SystemClock(), Ids()))
