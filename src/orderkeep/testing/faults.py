"""What goes wrong in a history, decided by its seed: where, when, how often."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

JUMPS = (timedelta(hours=-1), timedelta(minutes=5), timedelta(days=4))
AT_LEAST = 2
"""Faults that strike in every history."""


class Crash(BaseException):
    """The process is gone: nothing after this runs."""


@dataclass
class Odds:
    """How often something goes wrong, per occasion."""

    transport_away: float = 0.0
    transport_repeats: float = 0.0
    transport_forgets: float = 0.0
    """Carried, and said not to be."""
    old_again: float = 0.0
    """Something carried long ago comes once more."""
    commit_late: float = 0.0
    engine_slow: float = 0.0
    store_busy: float = 0.0
    commit_unknown: float = 0.0


@dataclass
class Faults:
    """The plan of a history, and what of it has struck."""

    chance: Random
    crashes: list[tuple[str, int]]
    mes: list[str]
    jump: timedelta | None
    odds: Odds
    struck: Counter[str] = field(default_factory=Counter)
    crashed_at: Counter[str] = field(default_factory=Counter)
    passages: Counter[str] = field(default_factory=Counter)
    dead: bool = False
    anywhere: bool = False
    """Crash at the next failpoint, whichever it is."""

    @property
    def total(self) -> int:
        """How many faults have really struck."""
        return self.struck.total()

    @property
    def open(self) -> bool:
        """Whether a planned crash has not struck yet, or too little has gone wrong."""
        return bool(self.crashes) or self.total < AT_LEAST

    def strikes(self, kind: str, odds: float) -> bool:
        """Whether a fault strikes on this occasion; counted when it does."""
        if not odds or self.chance.random() >= odds:
            return False
        self.struck[kind] += 1
        return True

    def take_mes_fault(self) -> str | None:
        """The next fault of the MES, if one is left."""
        if not self.mes:
            return None
        fault = self.mes.pop()
        self.struck[f"mes {fault}"] += 1
        return fault

    def pass_by(self, name: str) -> None:
        """The failpoints' handler."""
        if self.dead:
            raise Crash(name)  # A dead process passes nothing any more.
        self.passages[name] += 1
        planned = (name, self.passages[name])
        if planned in self.crashes:
            self.crashes.remove(planned)
        elif not self.anywhere:
            return
        self.anywhere = False
        self.dead = True
        self.struck["crash"] += 1
        self.crashed_at[name] += 1
        raise Crash(name)

    def end(self) -> None:
        """Everything heals."""
        self.crashes, self.mes, self.jump = [], [], None
        self.odds, self.anywhere = Odds(), False


def plan(chance: Random, first: str, names: list[str], mes_faults: list[str]) -> Faults:
    """A history's faults: one crash at ``first``, others anywhere, and what the odds bring."""
    others = chance.choices(names, k=chance.choice((0, 1, 1, 2)))
    passage = (1, 1, 1, 2, 3)
    crashes = {name: chance.choice(passage) for name in (first, *others)}
    often, seldom = chance.choice((0.0, 0.15, 0.3)), chance.choice((0.0, 0.0, 0.04))
    odds = Odds(
        transport_away=often / 2,
        transport_repeats=often,
        transport_forgets=often / 2,
        old_again=often,
        commit_late=chance.choice((0.0, 0.1, 0.3)),
        engine_slow=often,
        store_busy=seldom,
        commit_unknown=seldom,
    )
    jump = chance.choice((None, *JUMPS))
    return Faults(chance, list(crashes.items()), mes_faults, jump, odds)
