"""The registry of people, partners and keys for commands: beside a running server or without."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from orderkeep.access.registry import Registry
from orderkeep.cli.settings import WRONG_USAGE, settings_or_exit
from orderkeep.kernel.errors import Invalid, OrderkeepError

T = TypeVar("T")
ACTOR = "cli"


def with_registry(task: Callable[[Registry], Awaitable[T]]) -> T:
    """Do something with the registry of the configured database; a refusal ends the process."""
    try:
        return asyncio.run(_run(task))
    except Invalid as invalid:
        for fault in invalid.faults:
            sys.stderr.write(f"{fault.pointer.lstrip('/')}: {fault.message}\n")
    except OrderkeepError as error:
        sys.stderr.write(f"{error}\n")
    raise typer.Exit(WRONG_USAGE)


async def _run(task: Callable[[Registry], Awaitable[T]]) -> T:
    from orderkeep.adapters.passwords import Argon2Passwords
    from orderkeep.adapters.sql.migrate import SchemaBehind
    from orderkeep.adapters.sql.opening import is_shared, migrate, opened
    from orderkeep.kernel.bells import Bells
    from orderkeep.kernel.clock import SystemClock
    from orderkeep.kernel.ids import Ids

    url = settings_or_exit().database_url

    async def use() -> T:
        async with opened(url, Bells()) as store:
            return await task(Registry(store, Argon2Passwords(), SystemClock(), Ids()))

    try:
        return await use()
    except SchemaBehind:
        if is_shared(url):
            raise
    await migrate(url)  # A fresh installation: the first key may be older than the first run.
    return await use()


def to_people(line: str) -> None:
    """Tell the person at the terminal; answers for programs go to stdout."""
    sys.stderr.write(line + "\n")
