import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from orderkeep.files.lookup import FileLookup
from orderkeep.files.ports import StoredFile
from orderkeep.kernel.ids import FileId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Shelf:
    """A store with files alone; counts how often it is read."""

    def __init__(self, *ids: str) -> None:
        self._ids = ids
        self.asked: list[set[str]] = []
        self.broken = False
        self.files = self

    async def write(self, unit: Callable[[Any], Any]) -> Any:
        return unit(self)

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("the disk is away")
        return query(self)

    def add(self, file: StoredFile) -> None:
        self._ids = (*self._ids, file.id)

    def find(self, ids: Collection[FileId]) -> Mapping[FileId, StoredFile]:
        self.asked.append(set(ids))
        return {one: a_file(one) for one in ids if one in self._ids}


def a_file(id_: FileId) -> StoredFile:
    return StoredFile(id_, None, "key:1", "0" * 64, 84, "ring.stl", "kept", NOON)


async def test_everybody_of_one_turn_shares_one_reading() -> None:
    shelf = Shelf("a", "b")
    lookup = FileLookup(shelf)
    found = await asyncio.gather(*(lookup.find([FileId(one)]) for one in "abx"))

    assert shelf.asked == [{"a", "b", "x"}]
    assert [set(one) for one in found] == [{"a", "b"}] * 3


async def test_who_comes_while_a_reading_runs_gets_the_next_one() -> None:
    """A file kept in between is not in the running one's snapshot."""
    shelf = Shelf("a")
    lookup = FileLookup(shelf)
    first = asyncio.ensure_future(lookup.find([FileId("a")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shelf.add(a_file(FileId("b")))

    assert set(await lookup.find([FileId("b")])) == {"b"}
    assert set(await first) == {"a"}


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    lookup = FileLookup(Shelf("a", "b"))
    gone = asyncio.ensure_future(lookup.find([FileId("a")]))
    stays = asyncio.ensure_future(lookup.find([FileId("b")]))
    await asyncio.sleep(0)
    gone.cancel()

    assert set(await stays) == {"a", "b"}


async def test_a_reading_that_fails_is_told_to_all_and_the_next_one_is_fresh() -> None:
    shelf = Shelf("a")
    lookup = FileLookup(shelf)
    shelf.broken = True
    told = await asyncio.gather(
        lookup.find([FileId("a")]), lookup.find([FileId("b")]), return_exceptions=True
    )
    shelf.broken = False

    assert [type(one) for one in told] == [OSError, OSError]
    assert set(await lookup.find([FileId("a")])) == {"a"}


async def test_a_file_kept_or_found_lately_is_not_read_again() -> None:
    shelf = Shelf("a")
    lookup = FileLookup(shelf)
    lookup.remember(a_file(FileId("b")))
    await lookup.find([FileId("a")])

    assert set(await lookup.find([FileId("a"), FileId("b")])) == {"a", "b"}
    assert shelf.asked == [{"a"}]


async def test_what_was_not_there_is_looked_for_again() -> None:
    shelf = Shelf()
    lookup = FileLookup(shelf)
    assert await lookup.find([FileId("a")]) == {}
    shelf.add(a_file(FileId("a")))

    assert set(await lookup.find([FileId("a")])) == {"a"}


async def test_only_so_many_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orderkeep.files.lookup.REMEMBERED", 2)
    shelf = Shelf("a", "b", "c")
    lookup = FileLookup(shelf)
    for one in "abc":
        await lookup.find([FileId(one)])
    await lookup.find([FileId("a")])

    assert shelf.asked == [{"a"}, {"b"}, {"c"}, {"a"}]
