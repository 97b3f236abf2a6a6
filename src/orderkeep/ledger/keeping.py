"""The balance, kept: counted every minute, every difference with its age and its last proof."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import OrderNo
from orderkeep.ledger.balance import Balance, Carried, Class, Difference, Proof, Sums
from orderkeep.ledger.explain import Facts, last_proof
from orderkeep.ledger.kept import Noted, Run

BEFORE_KEEP = failpoint("balance.before_keep", "the balance is counted, nothing of it is on disk")
AFTER_KEEP = failpoint("balance.after_keep", "the run and its differences are on disk")

EVERY: Final = timedelta(minutes=1)
PROVEN_AT_ONCE: Final = 50
"""New differences whose last proof is looked up in one run; the others in the next."""
NAMED_AT_ONCE: Final = 20
"""Differences that one run names in the log."""

log = structlog.get_logger()

T = TypeVar("T")


class KeepingStore(Protocol):
    """The store as the keeper needs it; see ``kernel.store.Store``."""

    async def write(self, unit: Callable[[Any], T]) -> T: ...

    async def read(self, query: Callable[[Any], T]) -> T: ...

    async def read_long(self, query: Callable[[Any], T]) -> T:
        """The same beside the event loop, for what takes longer than a millisecond or two."""
        ...


@dataclass(frozen=True, slots=True)
class Tables:
    """How to look at the tables: ``count`` makes a balance, ``facts`` tells all of one order."""

    count: Callable[[Any, datetime], Balance]
    facts: Callable[[Any, OrderNo], Facts]
    beside: Callable[[Any, datetime], Sequence[Difference]] = lambda _work, _now: ()
    """Differences against other systems, which the tables alone show."""


class Keeper:
    """Counts the balance once a minute and keeps it."""

    def __init__(
        self,
        store: KeepingStore,
        tables: Tables,
        clock: Clock,
        elapsed_ms: Callable[[], float],
        carried: Callable[[], Carried | None] = lambda: None,
    ) -> None:
        self._store = store
        self._tables = tables
        self._clock = clock
        self._elapsed_ms = elapsed_ms
        self._carried = carried

    async def step(self) -> int:
        """Count unless somebody has just done so; returns 0, since the next minute comes."""
        last = await self._store.read(lambda work: work.balances.last())
        now = self._clock.now()
        # A run that seems to lie ahead was kept before the clock was set back.
        if last is None or not now - EVERY / 2 < last.at <= now:
            await self.count()
        return 0

    async def count(self) -> Run:
        """Count now, and keep it; returning means it is on disk."""
        now, begun = self._clock.now(), self._elapsed_ms()
        balance = await self._store.read_long(lambda work: self._counted(work, now))
        took_ms = round(self._elapsed_ms() - begun)
        run = _run(balance, took_ms, self._carried())
        reach(BEFORE_KEEP)
        noted: Noted = await self._store.write(lambda work: _keep(work, run, balance.differences))
        reach(AFTER_KEEP)
        _tell(run, noted)
        await self._prove()
        return run

    def _counted(self, work: Any, now: datetime) -> Balance:
        balance = self._tables.count(work, now)
        beside = self._tables.beside(work, now)
        found = [*balance.differences, *work.balances.found(), *beside]
        return msgspec.structs.replace(balance, differences=found)

    async def _prove(self) -> None:
        """Look up once, for each new difference, how far its order is proven to have come."""

        def look(work: Any) -> list[tuple[Difference, Proof]]:
            return [
                (one, proof)
                for one in work.balances.unproven(PROVEN_AT_ONCE)
                if (proof := last_proof(self._tables.facts(work, OrderNo(one.order_no))))
            ]

        proven = await self._store.read_long(look)
        if proven:
            await self._store.write(
                lambda work: [work.balances.prove(*one) for one in proven] and None
            )


def _keep(work: Any, run: Run, differences: Sequence[Difference]) -> Noted:
    noted: Noted = work.balances.note(differences, run.at)
    work.balances.keep(run)
    work.balances.forget(run.at)
    return noted


def _run(balance: Balance, took_ms: int, carried: Carried | None) -> Run:
    return Run(
        at=balance.at,
        took_ms=took_ms,
        sums=Sums(balance.accepted, *(getattr(balance, name) for name in Class)),
        drafts=balance.drafts,
        received_not_yet=balance.received_not_yet,
        not_understood=balance.not_understood,
        differences=len({(one.system, one.kind, one.subject) for one in balance.differences}),
        partners=balance.partners,
        carried=carried,
    )


def _tell(run: Run, noted: Noted) -> None:
    _name(log.error, "balance.differs", noted.fresh)
    _name(log.info, "balance.agrees_again", noted.gone)
    if run.unaccounted:
        log.error("balance.broken", unaccounted=run.unaccounted)


def _name(say: Callable[..., object], event: str, differences: Sequence[Difference]) -> None:
    """Name the first; one cause may make thousands differ, and the page has them all."""
    unnamed = max(len(differences) - NAMED_AT_ONCE, 0)
    for one in differences[:NAMED_AT_ONCE]:
        say(
            event,
            order_id=one.order_no,
            system=one.system,
            kind=one.kind,
            subject=one.reference,
        )
    if unnamed:
        say(event, unnamed=unnamed)
