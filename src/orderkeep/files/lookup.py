"""Files looked up for many submissions at once: one reading for each turn of the event loop."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from orderkeep.files.ports import FileWork, StoredFile
from orderkeep.kernel.ids import FileId
from orderkeep.kernel.store import Store

_Found = Mapping[FileId, StoredFile]
_Caller = asyncio.Future[_Found]


REMEMBERED = 10_000
"""Files kept in mind: an order mostly follows its upload within minutes."""


class FileLookup:
    """Finds files: those kept or asked for lately in memory, the others many in one reading.

    A file's row never changes. Reading it for each submission alone would cost more than reading
    the body: every statement gives the interpreter away and has to get it back from the writer.
    """

    def __init__(self, store: Store[FileWork]) -> None:
        self._store = store
        self._known: dict[FileId, StoredFile] = {}
        self._wanted: set[FileId] = set()
        self._callers: list[_Caller] = []
        self._reading: asyncio.Task[None] | None = None

    async def find(self, ids: Collection[FileId]) -> _Found:
        """At least the files among ``ids`` that exist, whosever they are; maybe others besides.

        Raises:
            StoreBusy: the database cannot be read now.
        """
        known = {one: self._known[one] for one in ids if one in self._known}
        return known if len(known) == len(ids) else await self._find(ids)

    @property
    def known(self) -> _Found:
        """Those in memory, whosever they are."""
        return self._known

    def remember(self, file: StoredFile) -> None:
        """Keep in mind a file whose row is on disk."""
        self._known[file.id] = file
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    async def _find(self, ids: Collection[FileId]) -> _Found:
        self._wanted.update(ids)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="files.lookup")
        # One for each caller: who leaves must not take the reading away from the others.
        answer: _Caller = asyncio.get_running_loop().create_future()
        self._callers.append(answer)
        return await answer

    async def _read(self) -> None:
        # Runs after everybody who was ready in the turn in which it was made.
        wanted, callers = self._wanted, self._callers
        self._wanted, self._callers, self._reading = set(), [], None
        try:
            found = await self._store.read(lambda work: work.files.find(wanted))
        except Exception as error:  # noqa: BLE001  # told to everybody who asked
            told = error
            _tell(callers, lambda caller: caller.set_exception(told))
        else:
            for file in found.values():
                self.remember(file)
            _tell(callers, lambda caller: caller.set_result(found))


def _tell(callers: Sequence[_Caller], answer: Callable[[_Caller], None]) -> None:
    for caller in callers:
        if not caller.done():
            answer(caller)
