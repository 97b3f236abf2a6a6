"""A store for those who have time: whoever people and partners wait for goes before them."""

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from orderkeep.kernel.store import Store

T = TypeVar("T")
WorkT = TypeVar("WorkT")
WorkT_co = TypeVar("WorkT_co", covariant=True)


class _Patient(Store[WorkT_co], Protocol[WorkT_co]):
    """A store that can also write later."""

    def write_later(self, unit: Callable[[WorkT_co], T]) -> Awaitable[T]: ...


class Behind(Generic[WorkT]):
    """The store as workers use it: implements ``kernel.store.Store``."""

    def __init__(self, store: _Patient[WorkT]) -> None:
        self._store = store

    async def write(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of work behind whatever people and partners wait for."""
        return await self._store.write_later(unit)

    async def read(self, query: Callable[[WorkT], T]) -> T:
        """Run a query on a snapshot of everything committed."""
        return await self._store.read(query)
