"""A person takes a source a step further, or back; each step is in the audit, with its reason."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import structlog

from orderkeep.access.keys import Partner
from orderkeep.intake.arrivals import Fate
from orderkeep.intake.homes import Flag, home_of
from orderkeep.intake.mapping import Source
from orderkeep.intake.modes import Mode, ModeRefused, SourceState, SourceStore, Takes, step
from orderkeep.intake.receiving import ReceivingWork
from orderkeep.intake.shadow import Comparison, ShadowOrder
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Refused
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.kernel.store import Store
from orderkeep.orders.home import Home

TOPIC = "sources"
_ID_LENGTH = 16

log = structlog.get_logger()


class NoSuchSource(Refused):
    """The configuration names no source so."""


class SourceMoved(Conflict):
    """Somebody else has taken the source a step meanwhile."""


class SourceWork(ReceivingWork, Protocol):
    """A unit of work on sources."""

    @property
    def sources(self) -> SourceStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


class Shown(NamedTuple):
    """A source as people see it; ``tapped`` counts copies, ``compared`` a shadow's orders."""

    source: Source
    state: SourceState
    home: Home
    counts: Mapping[Fate, int]
    tapped: Mapping[str, int]
    compared: Mapping[Comparison, int]
    last_difference: ShadowOrder | None
    left: int
    """Orders that a live database's rows bring and that are not taken yet: the shadow still looks
    whether the old road has them."""


class TakingOver:
    """The sources of the configuration, and the steps a person takes with them."""

    def __init__(
        self, store: Store[Any], sources: Mapping[str, Source], clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._ids = ids

    async def all(self) -> Sequence[Shown]:
        """Every source that is configured, as it is now."""

        def look(work: SourceWork) -> list[Shown]:
            flags = work.homes.all()
            return [_shown(work, one, flags) for one in self._sources.values()]

        return await self._store.read(look)

    async def orders(
        self, name: str, state: Comparison | None, before: int | None, limit: int
    ) -> Sequence[ShadowOrder]:
        """A shadow's orders, the newest first.

        Raises:
            NoSuchSource: there is none of this name.
        """
        self.source(name)
        return await self._store.read(lambda work: work.shadow.page(name, state, before, limit))

    def source(self, name: str) -> Source:
        """A source of the configuration.

        Raises:
            NoSuchSource: there is none of this name.
        """
        if name not in self._sources:
            raise NoSuchSource(f"orderkeep.toml names no source {name}.")
        return self._sources[name]

    async def move(
        self, name: str, to: Mode, by: str, because: str, *, old_road_closed: bool = False
    ) -> SourceState:
        """Take a source a step; one that is there already stays as it is.

        Raises:
            NoSuchSource, ModeRefused: nothing was changed.
            SourceMoved: somebody was faster.
        """
        source, now = self.source(name), self._clock.now()

        def take(work: SourceWork) -> SourceState:
            # Held before its home is read, as by whoever moves that.
            before = work.sources.hold(name)
            if before.mode is to:
                return before
            partner = self._partner(work, source, now)
            home = home_of(work.homes.all(), partner.id, name)
            takes = step(
                source,
                before,
                to,
                mirrored=home is Home.MIRRORED,
                old_road_closed=old_road_closed,
            )
            if not work.sources.move(
                name, before, to, takes=takes, by=by, because=because, now=now
            ):
                raise SourceMoved("Somebody has taken it a step meanwhile.")
            detail = f"{before.mode} to {to}: {because}"
            work.access.record(now, by, "source.moved", name, detail)
            work.wake(TOPIC)
            return work.sources.get(name)

        moved = await self._store.write(take)
        log.info("source.moved", channel=name, mode=moved.mode)
        return moved

    def _partner(self, work: SourceWork, source: Source, now: datetime) -> Partner:
        """Whose orders these are: somebody new, the first time a person takes the source on."""
        known = work.access.partner_named(source.partner)
        if known is not None:
            return known
        fresh = Partner(PartnerId(self._ids.token(_ID_LENGTH)), source.partner, None, now)
        work.access.add_partner(fresh)
        work.access.record(now, "source", "partner.added", fresh.name)
        return fresh


def _shown(work: SourceWork, source: Source, flags: Sequence[Flag]) -> Shown:
    name = source.name
    partner = work.access.partner_named(source.partner)
    wrong = [
        *work.shadow.page(name, Comparison.DIFFERS, None, 1),
        *work.shadow.page(name, Comparison.MISSING, None, 1),
    ]
    state = work.sources.get(name)
    home = home_of(flags, partner.id if partner else PartnerId(""), name)
    leaves = state.mode is Mode.LIVE and state.takes is Takes.ROWS and home is not Home.MIRRORED
    return Shown(
        source,
        state,
        home,
        work.arrivals.counts(name),
        work.shadow.tap_counts(name),
        work.shadow.counts(name),
        max(wrong, key=lambda one: one.at, default=None),
        work.shadow.waiting(name) if leaves else 0,
    )


__all__ = ["ModeRefused", "NoSuchSource", "Shown", "SourceMoved", "TakingOver"]
