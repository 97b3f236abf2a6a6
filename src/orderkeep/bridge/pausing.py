"""A person pauses a foreign system and lets it in again; everybody sees that it rests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from orderkeep.access.ports import AccessStore
from orderkeep.bridge import pace as p
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.destinations import Destination, Paused, State, state_of
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.windows import ALWAYS_THERE, Maintenance
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.store import Store

TOPICS: Mapping[str, str] = {CRM: CRM}
"""What wakes a destination's line, where that is not the bridge's own."""

log = structlog.get_logger()


class NoSuchDestination(Refused):
    """There is no foreign system of this name."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a destination may be called, as configured; ``title`` is what people call it."""

    bounds: Bounds
    maintenance: Maintenance = ALWAYS_THERE
    title: str = ""
    waiting: Callable[[BridgeWork], int] | None = None
    """How much has not left; work orders, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A destination as people see it; ``waiting`` of what it is sent has not left, or more."""

    name: str
    terms: Terms
    state: State
    waiting: int


class PausingWork(BridgeWork, Protocol):
    """A unit of work that is written to the audit."""

    @property
    def access(self) -> AccessStore: ...


class Pausing:
    """Pauses and resumes. What is being called at that moment is finished, nothing else begins."""

    def __init__(self, store: Store[PausingWork], clock: Clock, known: Mapping[str, Terms]) -> None:
        self._store = store
        self._clock = clock
        self._known = known

    async def all(self) -> Sequence[Shown]:
        """Every destination that is configured, as it is now."""
        now = self._clock.now()

        def look(work: PausingWork) -> list[Shown]:
            return [
                Shown(
                    name,
                    terms,
                    state_of(work.destinations.get(name), terms.bounds, terms.maintenance, now),
                    terms.waiting(work) if terms.waiting else work.deliveries.waiting(name),
                )
                for name, terms in self._known.items()
            ]

        return await self._store.read(look)

    async def pause(self, name: str, by: str, because: str) -> None:
        """Let nothing leave any more; one that is paused already stays as it is.

        Raises:
            NoSuchDestination: there is none of this name.
        """
        self._ways(name)
        now = self._clock.now()

        def pause(work: PausingWork) -> bool:
            fresh = work.destinations.pause(name, Paused(by, because, now))
            if fresh:
                work.access.record(now, by, "destination.paused", name, because)
            return fresh

        if await self._store.write(pause):
            log.warning("destination.paused", destination=name)

    async def resume(self, name: str, by: str, because: str) -> None:
        """Let calls leave again, slowly at first; one that runs is left as it is.

        Raises:
            NoSuchDestination: there is none of this name.
        """
        terms, now = self._ways(name), self._clock.now()

        def resume(work: PausingWork) -> bool:
            known: Destination = work.destinations.get(name)
            pace = p.let_in_again(known.pace or p.begin(terms.bounds), terms.bounds, now)
            fresh = work.destinations.resume(name, pace)
            if fresh:
                work.access.record(now, by, "destination.resumed", name, because)
                work.wake(TOPICS.get(name, "bridge"))
            return fresh

        if await self._store.write(resume):
            log.info("destination.resumed", destination=name)

    def _ways(self, name: str) -> Terms:
        if name not in self._known:
            raise NoSuchDestination(f"There is no destination {name}.", destination=name)
        return self._known[name]
