"""A practice CRM: where sellers work, as it is on a bad day; see ``far_side``."""

from orderkeep.kernel.clock import Clock
from orderkeep.practice.crm_desk import CrmBehaviour, CrmDesk
from orderkeep.practice.far_side import FarSide, changed
from orderkeep.practice.mes_journal import Journal


class PracticeCrm(FarSide):
    """Answers requests; the server brings them in and carries the answers out."""

    def __init__(self, journal: Journal, behaviour: CrmBehaviour, clock: Clock) -> None:
        super().__init__(journal, CrmDesk(journal, changed(behaviour, {}), clock), clock)
