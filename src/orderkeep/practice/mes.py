"""A practice MES: a legacy workshop's system as it is on a bad day; see ``far_side``."""

from orderkeep.kernel.clock import Clock
from orderkeep.practice.far_side import FarSide, changed
from orderkeep.practice.mes_desk import Behaviour, MesDesk
from orderkeep.practice.mes_journal import Journal


class PracticeMes(FarSide):
    """Answers requests; the server brings them in and carries the answers out."""

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Clock) -> None:
        super().__init__(journal, MesDesk(journal, changed(behaviour, {}), clock), clock)
