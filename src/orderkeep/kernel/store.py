"""A unit of work is a function, so that one commit can carry many of them.

``await store.write(unit)`` runs ``unit(work)`` where the database is and returns when its changes
are on disk. Units that wait together share one commit; one that raises is undone alone. A unit
does no waiting of its own: no network, no sleep, no await.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
WorkT = TypeVar("WorkT", covariant=True)


class Store(Protocol[WorkT]):
    """What a module asks of the database; ``WorkT`` names the repositories it needs."""

    async def write(self, unit: Callable[[WorkT], T]) -> T:
        """Run a unit of work; returning means its changes are on disk.

        Raises:
            StoreBusy: not taken; nothing was done.
            CommitOutcomeUnknown: the disk failed during the commit.
        """
        ...

    async def read(self, query: Callable[[WorkT], T]) -> T:
        """Run a short query on a snapshot that holds every commit that has returned."""
        ...
