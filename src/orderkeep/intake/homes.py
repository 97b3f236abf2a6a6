"""Flags of partners and channels: where the home of their orders is, from now on.

The flags are kept in memory, because every order over HTTP asks for them; they are read anew every
second. An order keeps the home that it was accepted with.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from orderkeep.access.ports import AccessStore
from orderkeep.intake.mapping import Source
from orderkeep.intake.modes import Mode, SourceStore
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused, Unavailable
from orderkeep.kernel.ids import PartnerId
from orderkeep.kernel.store import Store
from orderkeep.orders.home import Home, strictest

PARTNER: Final = "partner"
CHANNEL: Final = "channel"

log = structlog.get_logger()


class HomeRefused(Refused):
    """The flag cannot be changed now; the sentence says why."""


class Flag(msgspec.Struct, frozen=True):
    """Where a partner's or a channel's orders live; ``name`` is a partner's id, or a channel."""

    kind: str
    name: str
    home: Home
    since: datetime
    by: str


class HomeStore(Protocol):
    """Flags; whoever has none is mastered here."""

    def all(self) -> Sequence[Flag]: ...

    def put(self, flag: Flag) -> None:
        """Keep a flag in the place of an older one."""
        ...


class HomeWork(Protocol):
    """A unit of work on flags."""

    @property
    def access(self) -> AccessStore: ...

    @property
    def homes(self) -> HomeStore: ...

    @property
    def sources(self) -> SourceStore: ...


def home_of(flags: Sequence[Flag], partner_id: PartnerId, channel: str) -> Home:
    """The home of an order that is accepted now."""
    asked = {(PARTNER, partner_id), (CHANNEL, channel)}
    return strictest(flag.home for flag in flags if (flag.kind, flag.name) in asked)


ACCEPTING = frozenset({"door", "office", "bridge"})
"""The roles that accept orders, and so have to know whose they are."""


class Homes:
    """The flags as this process knows them."""

    def __init__(self, store: Store[Any]) -> None:
        self._store = store
        self._flags: Mapping[tuple[str, str], Home] = {}

    async def begin(self) -> None:
        """Read the flags before the first order: who knows of none takes a copy for ours.

        Raises:
            StoreBusy: the store is away.
        """
        flags = await self._store.read(lambda work: work.homes.all())
        self._flags = {(flag.kind, flag.name): flag.home for flag in flags}

    async def step(self) -> int:
        """Read the flags anew; what is known stays while the store is away."""
        with suppress(Unavailable):
            await self.begin()
        return 0

    def of(self, partner_id: PartnerId, channel: str) -> Home:
        """The home of an order that is accepted now."""
        if not self._flags:
            return Home.MASTERED
        asked = (self._flags.get((PARTNER, partner_id)), self._flags.get((CHANNEL, channel)))
        return strictest(home for home in asked if home is not None)


class Moving:
    """A person says where orders of a partner or a channel live; kept in the audit."""

    def __init__(self, store: Store[Any], sources: Mapping[str, Source], clock: Clock) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock

    async def flags(self) -> Sequence[Flag]:
        """Every flag."""
        return await self._store.read(lambda work: work.homes.all())

    async def put(self, kind: str, name: str, home: Home, by: str, because: str) -> Flag:
        """Set the flag of a ``partner`` (by name) or a ``channel``, for orders from now on.

        Raises:
            HomeRefused: nobody is called so, or one of its sources is live.
        """
        now = self._clock.now()

        def put(work: HomeWork) -> Flag:
            key = self._key(work, kind, name)
            self._no_source_is_live(work, kind, name)
            flag = Flag(kind, key, home, now, by)
            work.homes.put(flag)
            work.access.record(now, by, "home.moved", f"{kind} {name}", f"{home}: {because}")
            return flag

        return await self._store.write(put)

    def _key(self, work: HomeWork, kind: str, name: str) -> str:
        if kind == CHANNEL:
            return name
        known = work.access.partner_named(name)
        if known is None:
            raise HomeRefused(f"There is no partner {name}.")
        return known.id

    def _no_source_is_live(self, work: HomeWork, kind: str, name: str) -> None:
        """Copies and the queue itself are different things to take: it was decided at the step.

        What comes in on the way back is of that step, too: taken for a copy, nobody would make it.
        """
        for source in self._sources.values():
            called = source.name if kind == CHANNEL else source.partner
            if called != name:
                continue
            state = work.sources.hold(source.name)
            if state.mode is Mode.LIVE:
                raise HomeRefused(f"Its source {source.name} is live: take it back first.")
            if state.is_settling:
                raise HomeRefused(f"The way back of its source {source.name} is not at its end.")
