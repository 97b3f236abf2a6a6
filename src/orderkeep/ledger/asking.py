"""Asking a MES beside the bridge: only while there is room for one more call, and one at a time.

Comparing is in no hurry. A MES that is paused, maintained, away or busy is left in peace, and what
was not asked is asked later; that is something else than a question without an answer.
"""

from collections.abc import Sequence
from typing import Protocol

from orderkeep.bridge.ports import Capabilities, Mes, MesJob
from orderkeep.kernel.errors import Unavailable
from orderkeep.kernel.ids import WorkOrderRef


class NotNow(Unavailable):
    """There is no room for the question now; nothing was asked."""


class Room(Protocol):
    """Who says whether one more call may leave; see ``bridge.gate``."""

    def may_call(self) -> bool:
        """Whether one more call may leave now, if there is a place for it."""
        ...

    async def reserve(self, calls: int) -> None:
        """Try to get places for so many more calls."""
        ...

    def has_room(self) -> bool:
        """Whether one more call may leave now, and there is a place for it."""
        ...

    def enter(self) -> None:
        """Take a place."""
        ...

    def leave(self) -> None:
        """Give it back."""
        ...


class Asking:
    """A MES that is only asked, through the places that ``room`` gives."""

    def __init__(self, mes: Mes, room: Room | None = None) -> None:
        self._mes = mes
        self._room = room

    @property
    def capabilities(self) -> Capabilities:
        return self._mes.capabilities

    def has_room(self) -> bool:
        """Whether a question would be asked now."""
        return self._room is None or self._room.may_call()

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        """See ``Mes.find``.

        Raises:
            NotNow: nothing was asked.
            MesUnavailable: no usable answer.
        """
        await self._enter()
        try:
            return await self._mes.find(reference)
        finally:
            self._leave()

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        """See ``Mes.list``; raises as ``find`` does."""
        await self._enter()
        try:
            return await self._mes.list(cursor)
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._room is None:
            return
        await self._room.reserve(1)
        if not self._room.has_room():
            raise NotNow("There is no room for a question now.")
        self._room.enter()

    def _leave(self) -> None:
        if self._room is not None:
            self._room.leave()
