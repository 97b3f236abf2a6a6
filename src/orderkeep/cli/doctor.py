"""``orderkeep doctor``: look at a broker that is already there, and say where it loses orders."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from orderkeep.cli.groups import group
from orderkeep.cli.sentences import sentence
from orderkeep.doctor.examine import Report, examine
from orderkeep.doctor.snapshot import Snapshot
from orderkeep.doctor.words import LANGUAGES
from orderkeep.doctor.written import CannotRead, of_definitions, of_report
from orderkeep.intake.roads import VERIFIED, says_whom_to_trust

HARMFUL = 1
COULD_NOT_LOOK = 2
WRONG_USAGE = 64

app = group("Look at what is already there; changes nothing.")


@app.callback()
def doctor() -> None:
    """Look at what is already there; changes nothing."""


@app.command()
def rabbitmq(  # noqa: PLR0917  # All are options: nobody gives them by their place.
    url: Annotated[
        str,
        typer.Option(
            envvar="ORDERKEEP_DOCTOR_URL",
            show_envvar=False,
            help="The management API: http://user:password@host:15672; or amqp://user:password@host"
            " with --queue and --exchange. Kept out of the process list when given as"
            " ORDERKEEP_DOCTOR_URL.",
        ),
    ] = "",
    definitions: Annotated[
        Path | None, typer.Option(help="Exported definitions (JSON), instead of a broker.")
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Output of `rabbitmqctl report`, instead of a broker."),
    ] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="Over AMQP: this queue; may be repeated.")
    ] = None,
    exchange: Annotated[
        list[str] | None, typer.Option(help="Over AMQP: this exchange; may be repeated.")
    ] = None,
    vhost: Annotated[
        list[str] | None, typer.Option(help="Only this virtual host; may be repeated.")
    ] = None,
    metrics_url: Annotated[
        list[str] | None,
        typer.Option(help="A node's Prometheus endpoint; may be repeated. Else port 15692."),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            envvar="ORDERKEEP_RABBITMQ_CA_FILE",
            show_envvar=False,
            help="Authorities (PEM) to trust over https:// and amqps://, instead of the system's;"
            " or ORDERKEEP_RABBITMQ_CA_FILE.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time between the two looks.")] = 10.0,
    lang: Annotated[str, typer.Option(help="Language of the report: en or ru.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Answer with one HTML page.")] = False,
) -> None:
    """Say where a RabbitMQ loses, doubles or holds up orders, and what to do first.

    Reads the management API twice and changes nothing; a user with the tag monitoring is enough.
    Without it: exported definitions, a report, or AMQP alone; each shows less, and says so.
    Exit status: 0 when nothing loses or doubles, 1 when something does, 2 when it could not look.
    """
    from orderkeep.adapters.rabbitmq_management import CannotLook

    if as_json and as_html:
        raise _wrong("Choose --json or --html, not both.")
    if lang not in LANGUAGES:
        raise _wrong(f"--lang must be one of: {', '.join(LANGUAGES)}.")
    if not 0 <= seconds <= 3600:
        raise _wrong("--seconds must be a number from 0 to 3600.")
    papers = [one for one in (definitions, report_file) if one is not None]
    if len(papers) + bool(url) != 1:
        raise _wrong("Give one of: --url (or ORDERKEEP_DOCTOR_URL), --definitions, --report.")
    over_amqp = url.startswith(("amqp:", "amqps:"))
    if over_amqp and says_whom_to_trust(url):
        raise _wrong(VERIFIED)
    if (queue or exchange) and not over_amqp:
        raise _wrong("--queue and --exchange go with an amqp:// address.")
    try:
        if papers:
            looked = _read(definitions, report_file)
        elif over_amqp:
            looked = _probed(url, queue or [], exchange or [], seconds, ca_file)
        else:
            looked = _looked(url, vhost or [], metrics_url or [], seconds, ca_file)
        report = examine(looked, lang)
    except (CannotLook, CannotRead, OSError) as error:
        typer.echo(f"Could not look: {sentence(error)}", err=True)
        raise typer.Exit(COULD_NOT_LOOK) from None
    _tell(report, as_json=as_json, as_html=as_html)
    raise typer.Exit(HARMFUL if report.harmful else 0)


def _read(definitions: Path | None, report: Path | None) -> Snapshot:
    if definitions is not None:
        return of_definitions(definitions.read_bytes())
    return of_report((report or Path()).read_text(encoding="utf-8", errors="replace"))


def _probed(
    url: str, queues: list[str], exchanges: list[str], seconds: float, ca_file: Path | None
) -> Snapshot:
    from orderkeep.adapters.rabbitmq_probe import probe

    return asyncio.run(probe(url, queues, exchanges, seconds, ca_file=ca_file))


def _looked(
    url: str, vhosts: list[str], metrics_urls: list[str], seconds: float, ca_file: Path | None
) -> Snapshot:
    from orderkeep.adapters.rabbitmq_management import RabbitManagement

    with RabbitManagement(url, vhosts, metrics_urls, ca_file=ca_file) as broker:
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
