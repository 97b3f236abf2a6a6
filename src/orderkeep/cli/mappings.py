"""``orderkeep mappings``: what the present systems' messages mean to us."""

from pathlib import Path
from typing import Annotated

import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.intake.samples import check_all

DIFFERENT = 1

app = typer.Typer(no_args_is_help=True, help="What the present systems' messages mean to us.")


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
