"""`orderkeep simulate …`: far sides to practise against, on this machine only."""

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from orderkeep.cli.groups import group
from orderkeep.config import HIGHEST_PORT
from orderkeep.kernel.clock import SystemClock
from orderkeep.practice.crm import PracticeCrm
from orderkeep.practice.crm_desk import CrmBehaviour
from orderkeep.practice.far_server import run_far_side
from orderkeep.practice.far_side import BehaviourRefused, changed
from orderkeep.practice.mes import PracticeMes
from orderkeep.practice.mes_desk import Behaviour
from orderkeep.practice.mes_faults import KINDS

app = group("Far sides to practise against, on this machine only.")

_ENV = "ORDERKEEP_PRACTICE_MES_"
_CRM = "ORDERKEEP_PRACTICE_CRM_"
_FAULT_HELP = (
    "KIND[-before|-after][:p=,nth=,ref=,op=,times=,seconds=], again for more; kinds: "
    + ", ".join(KINDS)
)
_SEED_HELP = "The same seed and requests give the same faults."


@app.callback()
def simulate() -> None:
    """Far sides to practise against, on this machine only."""


@app.command("mes")
def simulate_mes(
    *,
    port: Annotated[
        int, typer.Option(envvar=_ENV + "PORT", min=0, max=HIGHEST_PORT, help="0 takes a free one.")
    ] = 0,
    journal: Annotated[
        Path, typer.Option(envvar=_ENV + "JOURNAL", help="Kept and read again at the next start.")
    ] = Path("practice-mes.jsonl"),
    config: Annotated[
        Path | None, typer.Option(envvar=_ENV + "CONFIG", help="TOML; flags win over it.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(envvar=_ENV + "FAULT", help=_FAULT_HELP)
    ] = None,
    seed: Annotated[int | None, typer.Option(envvar=_ENV + "SEED", help=_SEED_HELP)] = None,
    idempotency: Annotated[
        str | None, typer.Option(envvar=_ENV + "IDEMPOTENCY", help="none, key or reference.")
    ] = None,
    lookup: Annotated[
        bool | None, typer.Option(envvar=_ENV + "LOOKUP", help="It can be asked for a reference.")
    ] = None,
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
        build = partial(PracticeMes, behaviour=behaviour, clock=SystemClock())
        run_far_side(port, journal, build, _announce("MES"))
    except BehaviourRefused as refused:
        raise typer.BadParameter(str(refused)) from refused


@app.command("crm")
def simulate_crm(
    *,
    port: Annotated[
        int, typer.Option(envvar=_CRM + "PORT", min=0, max=HIGHEST_PORT, help="0 takes a free one.")
    ] = 0,
    journal: Annotated[
        Path, typer.Option(envvar=_CRM + "JOURNAL", help="Kept and read again at the next start.")
    ] = Path("practice-crm.jsonl"),
    config: Annotated[
        Path | None, typer.Option(envvar=_CRM + "CONFIG", help="TOML; flags win over it.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(envvar=_CRM + "FAULT", help=_FAULT_HELP + "; op: tell, find or commands"),
    ] = None,
    seed: Annotated[int | None, typer.Option(envvar=_CRM + "SEED", help=_SEED_HELP)] = None,
    limit: Annotated[
        int | None, typer.Option(envvar=_CRM + "LIMIT", help="Requests at a time.")
    ] = None,
    work: Annotated[
        float | None, typer.Option(envvar=_CRM + "WORK", help="Seconds every request takes.")
    ] = None,
    autopilot: Annotated[
        bool | None,
        typer.Option(envvar=_CRM + "AUTOPILOT", help="Approve what is priced, close what arrived."),
    ] = None,
) -> None:
    """A practice CRM with settable faults; prints its address once it listens."""
    flags = {
        "faults": fault or None, "seed": seed, "limit": limit, "work_seconds": work,
        "autopilot": autopilot,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        behaviour = changed(CrmBehaviour(), {**_from_file(config), **given})
        build = partial(PracticeCrm, behaviour=behaviour, clock=SystemClock())
        run_far_side(port, journal, build, _announce("CRM"))
    except BehaviourRefused as refused:
        raise typer.BadParameter(str(refused)) from refused


def _announce(name: str) -> Callable[[str], None]:
    # Flushed by echo: whoever started us waits for this line.
    return lambda address: typer.echo(f"practice {name} listening on {address}")


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BehaviourRefused(f"{path} is not TOML: {error}") from error
