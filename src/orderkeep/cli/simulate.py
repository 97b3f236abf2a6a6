"""`orderkeep simulate …`: far sides to practise against, on this machine only."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from orderkeep.kernel.errors import OrderkeepError
from orderkeep.practice.mes_desk import Behaviour, BehaviourRefused, changed
from orderkeep.practice.mes_faults import KINDS
from orderkeep.practice.mes_server import run_practice_mes

app = typer.Typer(no_args_is_help=True, help="Far sides to practise against, on this machine only.")

_ENV = "ORDERKEEP_PRACTICE_MES_"
_FAULT_HELP = (
    "KIND[-before|-after][:p=,nth=,ref=,op=,times=,seconds=], again for more; kinds: "
    + ", ".join(KINDS)
)


@app.callback()
def simulate() -> None:
    """Far sides to practise against, on this machine only."""


@app.command("mes")
def simulate_mes(
    *,
    port: Annotated[int, typer.Option(envvar=_ENV + "PORT", help="0 takes a free one.")] = 0,
    journal: Annotated[
        Path, typer.Option(envvar=_ENV + "JOURNAL", help="Kept and read again at the next start.")
    ] = Path("practice-mes.jsonl"),
    config: Annotated[
        Path | None, typer.Option(envvar=_ENV + "CONFIG", help="TOML; flags win over it.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(envvar=_ENV + "FAULT", help=_FAULT_HELP)
    ] = None,
    seed: Annotated[int | None, typer.Option(envvar=_ENV + "SEED")] = None,
    idempotency: Annotated[
        str | None, typer.Option(envvar=_ENV + "IDEMPOTENCY", help="none, key or reference.")
    ] = None,
    lookup: Annotated[bool | None, typer.Option(envvar=_ENV + "LOOKUP")] = None,
    lag: Annotated[
        float | None,
        typer.Option(envvar=_ENV + "LAG", help="Seconds for which look-up denies a new job."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(envvar=_ENV + "LIMIT", help="Requests at a time.")
    ] = None,
    busy_status: Annotated[
        int | None, typer.Option(envvar=_ENV + "BUSY_STATUS", help="429 or 503, above the limit.")
    ] = None,
    work: Annotated[
        float | None, typer.Option(envvar=_ENV + "WORK", help="Seconds every request takes.")
    ] = None,
    autopilot: Annotated[
        bool | None, typer.Option(envvar=_ENV + "AUTOPILOT", help="Move jobs up to shipped.")
    ] = None,
    pace: Annotated[
        float | None, typer.Option(envvar=_ENV + "PACE", help="Autopilot: seconds in a status.")
    ] = None,
) -> None:
    """A practice MES with settable faults; prints its address once it listens."""
    flags = {
        "faults": fault or None, "seed": seed, "idempotency": idempotency, "lookup": lookup,
        "lag_seconds": lag, "limit": limit, "busy_status": busy_status, "work_seconds": work,
        "autopilot": autopilot, "pace_seconds": pace,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        behaviour = changed(Behaviour(), {**_from_file(config), **given})
        run_practice_mes(port, journal, behaviour, _announce)
    except (OrderkeepError, OSError) as error:
        typer.echo(f"orderkeep simulate mes: {error}", err=True)
        raise typer.Exit(1) from error


def _announce(address: str) -> None:
    # Flushed by echo: whoever started us waits for this line.
    typer.echo(f"practice MES listening on {address}")


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BehaviourRefused(f"{path} is not TOML: {error}") from error
