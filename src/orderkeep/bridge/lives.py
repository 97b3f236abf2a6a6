"""Who lives among the processes that serve one database: what several bridges have to know."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Lives(Protocol):
    """Who lives among those who serve one database."""

    @property
    def holder(self) -> str:
        """Our own name; nobody else has it, before or after us."""
        ...

    @property
    def is_seen(self) -> bool:
        """Whether the others can see that we live."""
        ...

    async def lost(self) -> None:
        """Return when the others cannot see any more that we live."""
        ...

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        """Those who are proven gone: nothing of theirs is under way any more.

        Each ``asker`` proves for itself: it has to name somebody again and again until then.
        """
        ...


async def while_seen(lives: Lives, doing: Coroutine[Any, Any, T], cut: Exception) -> T:
    """Do a call, and cut it when the others may believe that we are gone.

    Raises:
        Exception: ``cut``, when it was; whatever ``doing`` raises.
    """
    call = asyncio.ensure_future(doing)
    lost = asyncio.ensure_future(lives.lost())
    try:
        await asyncio.wait({call, lost}, return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            return call.result()
        raise cut
    finally:
        for one in (call, lost):
            one.cancel()
        await asyncio.wait({call, lost})
