"""A unit of work is a function, so that one commit can carry many of them.

``await store.write(unit)`` runs ``unit(work)`` where the database is and returns when its changes
are on disk. Units that wait together share one commit; one that raises is undone alone. A unit
does no waiting of its own: no network, no sleep, no await.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
WorkT = TypeVar("WorkT", covariant=True)


class Writing(Protocol[WorkT]):
    """The part of a store that writes."""

    async def write(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of work; returning means its changes are on disk.

        Raises:
            StoreBusy: not taken; nothing was done.
            CommitOutcomeUnknown: the disk failed during the commit.
        """
        ...


class Store(Writing[WorkT], Protocol[WorkT]):
    """What a module asks of the database; ``WorkT`` names the repositories it needs."""

    async def read(self, query: Callable[[WorkT], T]) -> T:
        """Run a short query on a snapshot that holds every commit that has returned."""
        ...


@runtime_checkable
class Forgetful(Store[WorkT], Protocol[WorkT]):
    """A store that need not wait for the disk where forgetting does no harm."""

    async def write_in_passing(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of work; when the database's machine dies it may be as if it had not run.

        It is never forgotten while something later is remembered, nor when only we die; and its
        statements may be kept or forgotten one by one, as ``Loose`` has it.
        """
        ...


@runtime_checkable
class Loose(Store[WorkT], Protocol[WorkT]):
    """A store that need not hold statements together where each may stand by itself.

    What holds them together takes as long as most of them do.
    """

    async def write_loose(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of which each statement is kept, or not, by itself.

        It may be run again after it was kept: twice has to be the same as once.
        """
        ...

    async def read_loose(self, query: Callable[[WorkT], T]) -> T:
        """Run a query of one statement, or of some that need not see the same instant."""
        ...
