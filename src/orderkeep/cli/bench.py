"""``orderkeep bench``: what this machine can do, as ratios."""

import signal
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import msgspec
import typer

from orderkeep.cli.groups import group

app = group("Benchmarks that print ratios.")


@app.callback()
def bench() -> None:
    """Benchmarks that print ratios."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: whoever started servers and made folders takes them away."""
    # Told twice, as `timeout` tells it, the taking away goes on.
    signal.signal(signal.SIGTERM, lambda *_: None)
    if signal.getsignal(signal.SIGINT) in {signal.SIG_IGN, None}:  # As in a shell's background.
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


class Database(StrEnum):
    """What may hold the orders."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


_JSON = typer.Option("--json", help="Answer in one line of JSON.")
_MARKDOWN = typer.Option("--markdown", help="Answer with tables for a document.")
_ONLY = typer.Option(help="A pipeline by name; again for more.")
_FOLDER = typer.Option(help="On the disk to be measured; a temporary folder by default.")


@app.command()
def accept(
    seconds: Annotated[float, typer.Option(help="How long one round of one path lasts.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="How often everything is repeated.")] = 3,
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,16,64,256",
    database: Annotated[
        Database, typer.Option(help="PostgreSQL is a temporary server of the benchmark's own.")
    ] = Database.SQLITE,
    folder: Annotated[Path | None, _FOLDER] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Orders kept a second, beside the disk, pgbench and one ORM transaction per request."""
    from orderkeep.bench.accept import accept as measured

    numbers = _numbers("--clients", clients)
    report = measured(
        seconds=seconds, rounds=rounds, clients=numbers, folder=folder, database=database
    )
    _print(report, as_json)


@app.command()
def board(
    rows: Annotated[str, typer.Option(help="Numbers of orders.")] = "100000,1000000",
    folder: Annotated[Path | None, _FOLDER] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Pairs of rounds, with operators who browse and without.")
    ] = 10,
    browser: Annotated[
        bool, typer.Option("--browser", help="Time to the first row in a real Chromium instead.")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Pages, counts and claims with few and with many orders, and what browsing costs the door."""
    numbers = _numbers("--rows", rows)
    if browser:
        _print(_in_a_browser(min(numbers), folder), as_json)
        return
    from orderkeep.bench.board import board as measured
    from orderkeep.bench.browsing import browsing

    lists = measured(rows=numbers, folder=folder)
    browsed = browsing(min(numbers), folder, rounds=rounds)
    _print({"lists": lists, "browsing": browsed}, as_json)


def _in_a_browser(rows: int, folder: Path | None) -> Any:
    from orderkeep.bench.browser import NoBrowser, first_row

    try:
        return first_row(rows, folder)
    except NoBrowser as missing:
        print(missing, file=sys.stderr)
        raise typer.Exit(69) from missing


@app.command()
def overload(
    seconds: Annotated[float, typer.Option(help="How long each flood lasts.")] = 10.0,
    factors: Annotated[str, typer.Option(help="Multiples of what the door can do.")] = "2,5",
    slow: Annotated[int, typer.Option(min=0, help="Connections that take for ever.")] = 4000,
    slow_seconds: Annotated[float, typer.Option(help="For how long.")] = 10.0,
    role: Annotated[
        list[str] | None, typer.Option(help="A role of the server; all without any.")
    ] = None,
    folder: Annotated[Path | None, _FOLDER] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """What is kept, refused and how quickly when far more comes than can be served."""
    from orderkeep.bench.overload import overload as measured
    from orderkeep.roles.run import ROLES

    _known("--role", role or (), ROLES)
    report = measured(
        seconds=seconds,
        factors=_numbers("--factors", factors),
        slow=slow,
        slow_seconds=slow_seconds,
        roles=role or (),
        folder=folder,
    )
    _print(report, as_json)


@app.command()
def recovery(
    orders: Annotated[int, typer.Option(min=1, help="Orders that pile up.")] = 3000,
    limit: Annotated[int, typer.Option(min=1, help="Calls at once that the MES bears.")] = 16,
    work_ms: Annotated[float, typer.Option(min=0, help="How long it works on each.")] = 5.0,
    folder: Annotated[Path | None, _FOLDER] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """How quickly a backlog reaches a MES that is back, and whether its limit is kept to."""
    from orderkeep.bench.recovery import recovery as measured

    _print(measured(orders, limit, work_ms, folder), as_json)


@app.command()
def delivery(
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is repeated.")] = 3,
    orders: Annotated[int, typer.Option(min=1, help="Orders left at once in a round.")] = 2000,
    per_s: Annotated[float, typer.Option(min=1, help="The moderate pace.")] = 200.0,
    only: Annotated[
        list[str] | None, typer.Option(help="A pipeline by name; again for more.")
    ] = None,
    peers: Annotated[
        str,
        typer.Option(help="A Python with Celery, DBOS, PgQueuer: `scripts/setup peers`."),
    ] = ".cache/peers/bin/python",
    folder: Annotated[Path | None, _FOLDER] = None,
    as_json: Annotated[bool, _JSON] = False,
    as_markdown: Annotated[bool, _MARKDOWN] = False,
) -> None:
    """From a client to the MES: ours beside a naive pipeline, Celery, DBOS and PgQueuer."""
    from orderkeep.bench.delivery import delivery as measured
    from orderkeep.bench.delivery import pipelines

    _known("--only", only or (), [one.name for one in pipelines(peers)])
    report = measured(
        rounds=rounds,
        orders=orders,
        per_s=per_s,
        only=only or (),
        peers=peers,
        folder=folder,
    )
    if as_markdown:
        from orderkeep.bench.tables import delivery_table

        print(delivery_table(report))
        return
    _print(report, as_json)


@app.command()
def faults(
    orders: Annotated[int, typer.Option(min=1, help="Orders left in each run.")] = 2000,
    per_s: Annotated[float, typer.Option(min=1, help="How many a second.")] = 400.0,
    only: Annotated[
        list[str] | None, typer.Option(help="A pipeline by name; again for more.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault by name; again for more.")
    ] = None,
    folder: Annotated[Path | None, _FOLDER] = None,
    as_json: Annotated[bool, _JSON] = False,
    as_markdown: Annotated[bool, _MARKDOWN] = False,
) -> None:
    """What the same faults lose and double in a naive, a careful and our own pipeline."""
    from orderkeep.bench.delivery import pipelines
    from orderkeep.bench.faults import FAULTS
    from orderkeep.bench.faults import faults as measured

    _known("--only", only or (), [one.name for one in pipelines("")])
    _known("--fault", fault or (), FAULTS)
    report = measured(
        orders=orders, per_s=per_s, only=only or (), struck=fault or (), folder=folder
    )
    if as_markdown:
        from orderkeep.bench.tables import faults_table

        print(faults_table(report))
        return
    _print(report, as_json)


def _numbers(option: str, given: str) -> list[int]:
    try:
        numbers = [int(one) for one in given.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{option} takes whole numbers separated by commas.")
    return numbers


def _known(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    if strangers := set(given) - set(known):
        raise typer.BadParameter(
            f"{option} {'; '.join(sorted(strangers))}: there are {'; '.join(sorted(known))}."
        )


def _print(report: Any, as_json: bool) -> None:
    encoded = msgspec.json.encode(report)
    print((encoded if as_json else msgspec.json.format(encoded)).decode())
