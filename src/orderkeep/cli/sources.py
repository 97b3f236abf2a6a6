"""``orderkeep sources``: how far each present system is taken over, and the steps."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from orderkeep.cli.groups import group
from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.stores import opened
from orderkeep.cli.who import system_user
from orderkeep.intake.homes import CHANNEL, PARTNER, Flag, Moving
from orderkeep.intake.modes import Mode, SourceState
from orderkeep.intake.shadow import Comparison
from orderkeep.intake.taking_over import Shown, TakingOver
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids
from orderkeep.observe.logs import set_up_logs
from orderkeep.orders.home import Home

T = TypeVar("T")

app = group("How far each present system is taken over: off, tap, shadow, live, and back.")

_Json = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]
_Name = Annotated[str, typer.Argument(help="The source, as orderkeep.toml names it.")]
_Why = Annotated[str, typer.Option("--because", help="Why; kept for ever.")]


@app.callback()
def sources() -> None:
    """How far each present system is taken over."""


@app.command(name="list")
def list_sources(as_json: _Json = False) -> None:
    """Print every source: mode, since when, what became of its messages, and what is wrong."""
    found = _with(lambda taking_over: taking_over.all())
    if as_json:
        print(msgspec.json.encode([_facts(one) for one in found]).decode())
    else:
        print("\n".join(_line(one) for one in found) or "orderkeep.toml names no sources.")


@app.command()
def off(name: _Name, because: _Why) -> None:
    """Listen no more. Nothing of ours is left at the broker."""
    _move(name, Mode.OFF, because)


@app.command()
def tap(name: _Name, because: _Why) -> None:
    """Map copies of what passes, and count what is understood. Hurts nobody."""
    _move(name, Mode.TAP, because)


@app.command()
def shadow(name: _Name, because: _Why) -> None:
    """Besides, say what would be accepted, and compare it with what really happens."""
    _move(name, Mode.SHADOW, because)


@app.command()
def live(
    name: _Name,
    because: _Why,
    old_road_closed: Annotated[
        bool,
        typer.Option(
            "--old-road-closed", help="Of a database: nobody else takes orders from it any more."
        ),
    ] = False,
) -> None:
    """Accept them. Stop whoever consumes from the queue today first: two cannot."""
    _move(name, Mode.LIVE, because, closed=old_road_closed)


@app.command()
def back(name: _Name, because: _Why) -> None:
    """Give the queue back. Wait for `settled` in the list before the old consumer starts."""
    _move(name, Mode.BACK, because)


@app.command()
def compared(
    name: _Name,
    only: Annotated[Comparison | None, typer.Option(help="Those of one result.")] = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 100,
) -> None:
    """Print what the shadow would have done, beside what happened, by order number."""
    for one in _with(lambda taking_over: taking_over.orders(name, only, None, most)):
        print("\t".join([one.client_ref, one.state, one.verdict, one.detail or one.why or ""]))


@app.command()
def home(
    kind: Annotated[str, typer.Argument(help="`partner` or `channel`; a source is a channel.")],
    name: Annotated[str, typer.Argument(help="The partner's name, or the channel's.")],
    where: Annotated[Home, typer.Argument(help="Where its orders live from now on.")],
    because: _Why,
) -> None:
    """Say where the orders of a partner or channel live: here, at the shop, or both."""
    if kind not in {PARTNER, CHANNEL}:
        raise typer.BadParameter("partner or channel")
    _need_reason(because)

    async def put() -> Flag:
        settings = settings_or_exit()
        async with opened(settings) as store:
            moving = Moving(store, settings.sources, SystemClock())
            return await moving.put(kind, name, where, f"command:{system_user()[:40]}", because)

    print(f"{kind} {name}\t{asyncio.run(put()).home}")


def _move(name: str, to: Mode, because: str, *, closed: bool = False) -> None:
    _need_reason(because)

    async def move(taking_over: TakingOver) -> SourceState:
        return await taking_over.move(
            name, to, f"command:{system_user()[:40]}", because, old_road_closed=closed
        )

    state = _with(move)
    print(f"{state.name}\t{_mode(state)}")


def _need_reason(because: str) -> None:
    if not because.strip():
        raise typer.BadParameter("say why: --because")


def _with(task: Callable[[TakingOver], Awaitable[T]]) -> T:
    """Do something beside a running server or without one."""
    return asyncio.run(_run(task))


async def _run(task: Callable[[TakingOver], Awaitable[T]]) -> T:
    settings = settings_or_exit()
    set_up_logs(settings.log_level, "sources")
    async with opened(settings) as store:
        return await task(TakingOver(store, settings.sources, SystemClock(), Ids()))


def _mode(state: SourceState) -> str:
    if state.mode is Mode.BACK:
        return "back, settling" if state.is_settling else "back, settled"
    return f"{state.mode} ({state.takes})" if state.takes else state.mode


def _facts(one: Shown) -> dict[str, Any]:
    return {
        "partner": one.source.partner,
        "home": one.home,
        **msgspec.structs.asdict(one.state),
        "counts": one.counts,
        "tapped": one.tapped,
        "compared": one.compared,
        "left": one.left,
    }


def _line(one: Shown) -> str:
    state = one.state
    since = f"{state.since:%Y-%m-%d %H:%M}" if state.since else "-"
    counts: dict[str, Mapping[Any, int]] = {
        "tapped": one.tapped,
        "compared": one.compared,
        "taken": one.counts,
    }
    counted = [f"{what}: {_counted(by)}" for what, by in counts.items() if by]
    if one.left:
        counted.append(f"left till it is known whether the old road has them: {one.left}")
    facts = [state.name, _mode(state), one.home, since, "; ".join(counted) or "no messages"]
    return "\t".join([*facts, state.trouble or ""]).rstrip()


def _counted(by: Mapping[Any, int]) -> str:
    return ", ".join(f"{word} {number}" for word, number in by.items())
