"""Every fault of the practice MES × what the MES can do about repeats and questions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orderkeep.practice.mes_faults import KINDS, ONLY_AFTER, ONLY_BEFORE
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.verdict import Verdict

ODDS = 0.4
"""How many requests a fault strikes."""
LATE_S, STALL_S = 1.5, 3.0
"""Both longer than we wait for an answer; the work is done all the same."""
UNDER_FAULT = 12
"""Receipts that are given while the MES is not well."""
HONEST = frozenset({*KINDS} - ONLY_AFTER)
"""Faults that say nothing false, and so may strike look-ups too."""


@dataclass(frozen=True, slots=True)
class Ability:
    """What a MES can do, told to it, and told to us."""

    flags: tuple[str, ...] = ()
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    blind: bool = False
    """What may have been done cannot be found out: it waits for a person."""
    answers: bool = True
    """Whether it can be asked what it has."""


_MUTE = {"mes_lookup": "off", "mes_listing": "off", "mes_recall": "off"}
_SEEN = {"mes_visibility_lag": "4s"}
"""Longer than the MES may work on after we have given up."""


def _mute(idempotency: str, *, blind: bool = False) -> Ability:
    flags = ("--no-lookup", "--idempotency", idempotency)
    behaviour = {"lookup": False, "idempotency": idempotency}
    settings = {**_MUTE, "mes_idempotency": idempotency}
    return Ability(flags, behaviour, settings, blind, answers=False)


ABILITIES: Mapping[str, Ability] = {
    "key": _mute("key"),
    "reference": _mute("reference"),
    "look-up": Ability(behaviour={"lag_seconds": 0.2}, settings=_SEEN),
    "lagging look-up": Ability(("--lag", "3"), {"lag_seconds": 3.0}, {"mes_visibility_lag": "7s"}),
    "nothing": _mute("none", blind=True),
}


def cells() -> Iterator[Cell]:
    """Each fault alone in one process; all of them together in many."""
    for ability in ABILITIES:
        for fault in faults():
            trial = partial(unwell, ability=ability, faults=(fault,))
            yield Cell(EMBEDDED, f"mes with {ability}", fault, trial)
        together = partial(unwell, ability=ability, faults=tuple(faults()), odds=0.03)
        yield Cell(EMBEDDED, f"mes with {ability}", "all at random", together)
        yield Cell(SCALED_OUT, f"mes with {ability}", "all at random", together)
        yield Cell(EMBEDDED, f"mes with {ability}", "killed and started", partial(gone, ability))
        yield Cell(SCALED_OUT, f"mes with {ability}", "killed and started", partial(gone, ability))


def faults() -> list[str]:
    """Every kind, before and after the work where there is such a moment."""
    before = [f"{kind}-before" for kind in KINDS if kind not in ONLY_AFTER]
    after = [f"{kind}-after" for kind in KINDS if kind not in ONLY_BEFORE | {"stall"}]
    return sorted(before + after)


def unwell(scene: Scene, ability: str, faults: tuple[str, ...], odds: float = ODDS) -> Verdict:
    """Let orders come in while the MES is not well, heal it, and judge."""
    can = ABILITIES[ability]
    told = [one for fault in faults for one in ("--fault", _spelled(fault, odds))]
    seed = ("--seed", str(scene.chance.getrandbits(16)))
    with (
        scene.works(*can.flags, *told, *seed, settings=can.settings) as works,
        works.clients() as clients,
    ):
        works.begin()
        clients.more(UNDER_FAULT)
        works.mes.behave(**can.behaviour)
        return works.verdict(clients, may_be_uncertain=can.blind, ask_mes=can.answers)


def gone(ability: str, scene: Scene) -> Verdict:
    """Kill the MES while orders come in, and start it."""
    can = ABILITIES[ability]
    with scene.works(*can.flags, settings=can.settings) as works, works.clients() as clients:
        works.begin()
        for _ in range(2):
            clients.more()
            works.mes.kill()
            clients.more()
            works.mes.start()
        return works.verdict(clients, may_be_uncertain=can.blind, ask_mes=can.answers)


def _spelled(fault: str, odds: float) -> str:
    kind = fault.rpartition("-")[0]
    op = "any" if kind in HONEST else "submit"
    seconds = {"delay": f",seconds={LATE_S}", "stall": f",seconds={STALL_S},times=3"}
    return f"{fault}:p={odds},op={op}{seconds.get(kind, '')}"
