"""``orderkeep verify``: does every promise hold? Exit status 1 and the order numbers if not."""

import asyncio
import gc
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from orderkeep.adapters.files import LocalFiles
from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.stores import ledger_of, opened
from orderkeep.config import Settings, files_path
from orderkeep.files.ports import FileNotFound
from orderkeep.kernel.clock import SystemClock
from orderkeep.ledger.far_side import FarSide
from orderkeep.ledger.verify import Report, Scope, Verifier
from orderkeep.orders.policy import Policy

VIOLATED = 1
INCOMPLETE = 69


def verify(
    mes: Annotated[bool, typer.Option("--mes", help="Ask the MES too: S3, S4 and S9.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Hash every model file, however many bytes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
) -> None:
    """Recompute every promise from the tables and name each order that breaks one.

    Exit status: 0 when all hold, 1 with violations, 69 when the MES left questions unanswered.
    Works beside a running server and without one, and changes nothing.
    """
    settings = settings_or_exit()
    # What is walked through is let go order by order: there is hardly any garbage to look for.
    gc.set_threshold(200_000, 50, 50)
    report = asyncio.run(_verified(settings, ask_mes=mes, all_files=files))
    print(_json(report) if as_json else _text(report))
    if report.violations:
        raise typer.Exit(VIOLATED)
    if _is_incomplete(report.checked):
        raise typer.Exit(INCOMPLETE)


async def _verified(settings: Settings, *, ask_mes: bool, all_files: bool) -> Report:
    ledger = ledger_of(settings)
    kept, now = KeptFiles(files_path(settings)), SystemClock().now()
    try:
        async with _far_side(settings, ask_mes=ask_mes) as far_side:
            verifier = Verifier(ledger, kept, Policy(), far_side, Progress())
            return await verifier.run(now, all_files=all_files)
    finally:
        ledger.close()


@asynccontextmanager
async def _far_side(settings: Settings, *, ask_mes: bool) -> AsyncIterator[FarSide | None]:
    """The MES as the bridge sees it; loaded only when it is asked."""
    if not ask_mes:
        yield None
    elif settings.mes == "http":
        from orderkeep.adapters.mes_http import MesHttp
        from orderkeep.roles.mes import mes_http_settings

        known = mes_http_settings(settings)
        async with MesHttp(known) as behind_http:
            together = settings.mes_http.concurrency
            yield FarSide(behind_http, together=together, recalled=known.recalled_statuses)
    else:
        from orderkeep.adapters.mes_floor import FloorMes
        from orderkeep.floor.workshop import Workshop
        from orderkeep.kernel.ids import Ids

        async with opened(settings) as store:
            yield FarSide(FloorMes(Workshop(store, SystemClock(), Ids()), SystemClock()))


class KeptFiles:
    """Implements ``ledger.ports.Kept``; a folder that is not there is not made."""

    def __init__(self, root: Path) -> None:
        self._keeper = LocalFiles(root) if root.is_dir() else None

    async def sizes(self) -> Mapping[str, int]:
        return await self._keeper.sizes() if self._keeper else {}

    async def digest(self, sha256: str) -> str | None:
        if self._keeper is None:
            return None
        try:
            async with self._keeper.open(sha256) as path:
                return await asyncio.to_thread(_digest, path)
        except (FileNotFound, FileNotFoundError):
            return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Progress:
    """Says on stderr, once a second, how far it has come; says nothing about short work."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._calls = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        self._calls += 1
        if self._calls % 64 and what == "orders":
            return  # Asking the clock for every order would be a tenth of the work.
        now = time.monotonic()
        if now - self._said >= 1:
            self._said = now
            sys.stderr.write(f"{what}: {done} of {total}\n")


def _json(report: Report) -> str:
    return msgspec.json.encode(report).decode()


def _is_incomplete(checked: Scope) -> bool:
    return bool(checked.mes_unanswered or checked.mes_unfinished)


def _all_well(checked: Scope) -> str:
    return "what could be checked holds" if _is_incomplete(checked) else "every promise holds"


def _text(report: Report) -> str:
    found = [f"{one.rule:<4} {one.order_no or '-':<12} {one.what}" for one in report.violations]
    checked = report.checked
    lines = [
        *found,
        f"checked {' '.join(checked.rules)}",
        f"{checked.orders} orders, {checked.events} events",
        f"{checked.files} files, {checked.files_hashed} hashed",
    ]
    if checked.mes_jobs is not None:
        lines.append(f"the MES showed {checked.mes_jobs} jobs")
    lines += [checked.mes_unfinished] if checked.mes_unfinished else []
    lines += [f"the MES did not answer about {one}" for one in checked.mes_unanswered]
    number = len(report.violations)
    lines.append(f"{number} violations" if number else _all_well(checked))
    return "\n".join(lines)
