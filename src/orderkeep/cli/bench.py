"""``orderkeep bench``: what this machine can do, as ratios."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Benchmarks that print ratios.")


class Database(StrEnum):
    """What may hold the orders."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


_JSON = typer.Option("--json", help="Answer in one line of JSON.")
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


def _numbers(option: str, given: str) -> list[int]:
    try:
        numbers = [int(one) for one in given.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{option} takes whole numbers separated by commas.")
    return numbers


def _print(report: Any, as_json: bool) -> None:
    encoded = msgspec.json.encode(report)
    print((encoded if as_json else msgspec.json.format(encoded)).decode())
