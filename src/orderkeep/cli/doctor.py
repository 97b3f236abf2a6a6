"""``orderkeep doctor``: look at a broker that is already there, and say where it loses orders."""

import time
from typing import Annotated

import msgspec
import typer

from orderkeep.doctor.examine import Report, examine
from orderkeep.doctor.snapshot import Snapshot
from orderkeep.doctor.words import LANGUAGES

HARMFUL = 1
COULD_NOT_LOOK = 2
WRONG_USAGE = 64

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Look at what is already there; changes nothing.",
)


@app.callback()
def doctor() -> None:
    """Look at what is already there; changes nothing."""


@app.command()
def rabbitmq(
    url: Annotated[
        str,
        typer.Option(
            envvar="ORDERKEEP_DOCTOR_URL",
            show_envvar=False,
            help="The management API: http://user:password@host:15672. Kept out of the process"
            " list when given as ORDERKEEP_DOCTOR_URL.",
        ),
    ],
    vhost: Annotated[
        list[str] | None, typer.Option(help="Only this virtual host; may be repeated.")
    ] = None,
    metrics_url: Annotated[
        list[str] | None,
        typer.Option(help="A node's Prometheus endpoint; may be repeated. Else port 15692."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time between the two looks.")] = 10.0,
    lang: Annotated[str, typer.Option(help="Language of the report: en or ru.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Answer with one HTML page.")] = False,
) -> None:
    """Say where a RabbitMQ loses, doubles or holds up orders, and what to do first.

    Reads the management API twice and changes nothing; a user with the tag monitoring is enough.
    Exit status: 0 when nothing loses or doubles, 1 when something does, 2 when it could not look.
    """
    from orderkeep.adapters.rabbitmq_management import CannotLook

    if as_json and as_html:
        raise _wrong("Choose --json or --html, not both.")
    if lang not in LANGUAGES:
        raise _wrong(f"--lang must be one of: {', '.join(LANGUAGES)}.")
    if not 0 <= seconds <= 3600:
        raise _wrong("--seconds must be a number from 0 to 3600.")
    try:
        report = examine(_looked(url, vhost or [], metrics_url or [], seconds), lang)
    except CannotLook as error:
        typer.echo(f"Could not look: {error}", err=True)
        raise typer.Exit(COULD_NOT_LOOK) from None
    _tell(report, as_json=as_json, as_html=as_html)
    raise typer.Exit(HARMFUL if report.harmful else 0)


def _looked(url: str, vhosts: list[str], metrics_urls: list[str], seconds: float) -> Snapshot:
    from orderkeep.adapters.rabbitmq_management import RabbitManagement

    with RabbitManagement(url, vhosts, metrics_urls) as broker:
        first = broker.sample()
        began = time.monotonic()
        time.sleep(seconds)
        second = broker.sample()
        lasted = time.monotonic() - began
        metrics, nodes, unseen = broker.metrics(len(second.nodes))
    second = msgspec.structs.replace(second, unseen=[*second.unseen, *unseen])
    return Snapshot(first, second, lasted, metrics, nodes)


def _tell(report: Report, *, as_json: bool, as_html: bool) -> None:
    from orderkeep.doctor.page import page
    from orderkeep.doctor.text import text

    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        print(page(report) if as_html else text(report))


def _wrong(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(WRONG_USAGE)
