"""``orderkeep mappings``: what the present systems' messages mean to us."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orderkeep.cli.groups import group
from orderkeep.cli.settings import WRONG_USAGE, settings_or_exit
from orderkeep.intake.mapping import Message
from orderkeep.intake.roads import VERIFIED, says_whom_to_trust
from orderkeep.intake.samples import check_all, result_of

DIFFERENT = 1
NOT_DONE = 69

app = group("What the present systems' messages mean to us.")


@app.callback()
def mappings() -> None:
    """What the present systems' messages mean to us."""


@app.command()
def check(
    samples: Annotated[
        Path, typer.Option(help="A folder for each source, with a JSON file for each sample.")
    ] = Path("samples"),
) -> None:
    """Map every recorded sample and compare; exit status 1 when anything is not as expected.

    Reads `orderkeep.toml` in this folder, and no database. The difference shows what is in the
    samples, so take personal data out of them when you record them.
    """
    sources = settings_or_exit().sources
    failed = 0
    for source in sources.values():
        recorded = {one.name: one.read_bytes() for one in (samples / source.name).glob("*.json")}
        for one in check_all(source, recorded):
            print(
                "\t".join([source.name, one.name, "DIFFERS" if one.difference else "as expected"])
            )
            if one.difference:
                failed += 1
                print(one.difference)
    if not sources:
        print("orderkeep.toml names no sources.")
    if failed:
        raise typer.Exit(DIFFERENT)


@app.command()
def listen(
    source: Annotated[str, typer.Argument(help="Whose mapping, as orderkeep.toml names it.")],
    url: Annotated[
        str,
        typer.Option(
            envvar="ORDERKEEP_TAP_URL",
            show_envvar=False,
            help="The broker: amqp://user:password@host:5672/vhost. Kept out of the process list"
            " when given as ORDERKEEP_TAP_URL.",
        ),
    ],
    exchange: Annotated[str, typer.Option(help="The existing exchange to take copies from.")],
    key: Annotated[
        list[str], typer.Option(help="A routing key that has a queue already; may be repeated.")
    ],
    seconds: Annotated[float, typer.Option(min=1, help="How long to listen.")] = 60,
    messages: Annotated[int, typer.Option(min=1, help="How many copies are enough.")] = 1000,
) -> None:
    """Map copies of what passes an exchange; print how many of each kind are understood.

    The copies wait in a bounded queue of our own, which goes when the command ends: who sends and
    who receives today notices nothing. No body is printed or kept. Exit status 1 when a message is
    not understood.
    """
    settings = settings_or_exit()
    sources = settings.sources
    if source not in sources:
        sys.stderr.write(f"orderkeep.toml names no source {source}.\n")
        raise typer.Exit(WRONG_USAGE)
    if says_whom_to_trust(url):
        sys.stderr.write(f"{VERIFIED}\n")
        raise typer.Exit(WRONG_USAGE)
    counted: Counter[tuple[str, str]] = Counter()

    def take(message: Message) -> bool:
        counted[result_of(sources[source], message)] += 1
        return counted.total() < messages

    _tap(url, exchange, key, take, seconds, settings.rabbitmq_ca_file)
    for (kind, word), count in sorted(counted.items()):
        print("\t".join([str(count), kind, word]))
    sys.stderr.write(f"{counted.total()} messages.\n")
    if any(word not in {"mapped", "ignored"} for _, word in counted):
        raise typer.Exit(DIFFERENT)


def _tap(
    url: str,
    exchange: str,
    keys: list[str],
    take: Callable[[Message], bool],
    seconds: float,
    ca_file: Path | None,
) -> None:
    from aio_pika.exceptions import AMQPError

    from orderkeep.adapters.rabbitmq import tap
    from orderkeep.adapters.rabbitmq.link import said

    def tapped() -> None:
        sys.stderr.write("listening\n")
        sys.stderr.flush()

    try:
        listening = tap.listen(
            url, exchange, keys, take, seconds=seconds, ca_file=ca_file, tapped=tapped
        )
        asyncio.run(listening)
    except (AMQPError, OSError, TimeoutError) as away:
        sys.stderr.write(f"{said(away)}\n")
        raise typer.Exit(NOT_DONE) from None
