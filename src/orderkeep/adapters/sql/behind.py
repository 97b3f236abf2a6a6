"""A store for those who have time: whoever people and partners wait for goes before them."""

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from orderkeep.kernel.store import Store, Writing

T = TypeVar("T")
WorkT = TypeVar("WorkT")
WorkT_co = TypeVar("WorkT_co", covariant=True)


class _Patient(Store[WorkT_co], Protocol[WorkT_co]):
    """A store that can also write later."""

    def write_later(self, unit: Callable[[WorkT_co], T]) -> Awaitable[T]: ...


class _Singly(Protocol[WorkT_co]):
    """The part of a store that runs statements one by one."""

    async def write_loose(self, unit: Callable[[WorkT_co], T]) -> T: ...

    async def read_loose(self, query: Callable[[WorkT_co], T]) -> T: ...


class Behind(Generic[WorkT]):
    """The store as workers use it: implements ``kernel.store.Forgetful`` and ``Loose``."""

    def __init__(
        self,
        store: _Patient[WorkT],
        passing: Writing[WorkT] | None = None,
        singly: _Singly[WorkT] | None = None,
    ) -> None:
        self._store = store
        self._passing = passing or self
        self._singly = singly

    async def write(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of work behind whatever people and partners wait for."""
        return await self._store.write_later(unit)

    async def write_in_passing(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit that is done again, without harm, should the database forget it."""
        return await self._passing.write(unit)

    async def write_loose(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit whose statements may stand each by itself, and bear to be run again."""
        return await (self._singly.write_loose(unit) if self._singly else self.write(unit))

    async def read_loose(self, query: Callable[[WorkT], T]) -> T:
        """Run a query whose statements need not see the same instant."""
        return await (self._singly.read_loose(query) if self._singly else self.read(query))

    async def read(self, query: Callable[[WorkT], T]) -> T:
        """Run a query on a snapshot of everything committed."""
        return await self._store.read(query)
