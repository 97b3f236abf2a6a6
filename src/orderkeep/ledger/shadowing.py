"""Puts what a shadow would have accepted beside what really happened, order by order."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import structlog

from orderkeep.bridge.ports import MesUnavailable
from orderkeep.intake.mapping import Source
from orderkeep.intake.shadow import (
    LOOK_AGAIN,
    Compared,
    Comparison,
    ShadowOrder,
    compare_with_mes,
    compare_with_ours,
    not_known,
)
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.kernel.store import Store
from orderkeep.ledger.asking import Asking, NotNow

LOOKS_AT_ONCE: Final = 20

log = structlog.get_logger()


class Comparing:
    """Looks for the orders that a shadow saw."""

    def __init__(
        self, store: Store[Any], sources: Mapping[str, Source], mes: Asking, clock: Clock
    ) -> None:
        self._store = store
        self._sources = sources
        self._mes = mes
        self._clock = clock

    async def step(self) -> int:
        """Look for a few; how many were found, 0 when there is cause to rest."""
        now = self._clock.now()
        due = await self._store.read(lambda work: work.shadow.to_look(now, LOOKS_AT_ONCE))
        found = [(order, await self._look(order)) for order in due]
        if found:
            await self._store.write(lambda work: _written(work, found))
        return sum(compared.state is not Comparison.WAITING for _, compared in found)

    async def _look(self, order: ShadowOrder) -> Compared:
        now = self._clock.now()
        source = self._sources.get(order.source)
        if source is None:
            return not_known(order, "the source is not configured any more", None)
        ours = await self._store.read(lambda work: _ours(work, source, order))
        if ours is not None:
            return compare_with_ours(order, ours)
        if not self._mes.capabilities.lookup:
            return not_known(order, "the MES cannot be asked for a number", None)
        try:
            jobs = await self._mes.find(WorkOrderRef(order.client_ref))
        except (MesUnavailable, NotNow):
            return not_known(order, "the MES does not answer", now + LOOK_AGAIN)
        within = source.within + self._lag
        return compare_with_mes(order, [job.mes_id for job in jobs], within, now)

    @property
    def _lag(self) -> timedelta:
        return self._mes.capabilities.visibility_lag


def _ours(work: Any, source: Source, order: ShadowOrder) -> str | None:
    partner = work.access.partner_named(source.partner)
    return None if partner is None else work.shadow.ours(partner.id, order.client_ref)


def _written(work: Any, found: list[tuple[ShadowOrder, Compared]]) -> None:
    for order, compared in found:
        work.shadow.looked(order, compared)
