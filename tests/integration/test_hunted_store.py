"""Found by attack: a database that is taken away from under the running process."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.place import Place
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy


async def until(seen: Callable[[], bool]) -> None:
    """Wait for what another thread notices by looking."""
    async with asyncio.timeout(120):
        while not seen():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def take_number(store: SqliteStore) -> int:
    return await store.write(lambda work: work.counters.take(1))


def is_in_place(store: SqliteStore) -> bool:
    return bool(store.health()["in_place"])


async def test_no_receipt_is_given_into_a_file_that_is_not_there_any_more(tmp_path: Path) -> None:
    """SQLite wrote on into the deleted file: 201 after 201, and all of it gone with the process."""
    database, aside = tmp_path / "orderkeep.db", tmp_path / "aside.db"
    migrate(f"sqlite:///{database}")
    async with open_store(f"sqlite:///{database}", Bells(), serve=True) as store:
        await take_number(store)
        database.rename(aside)
        await until(lambda: not is_in_place(store))

        with pytest.raises(StoreBusy):
            await take_number(store)
        assert not database.exists()

        aside.rename(database)
        await until(lambda: is_in_place(store))
        assert await take_number(store) == 2


def test_another_file_under_the_same_name_is_not_the_database(tmp_path: Path) -> None:
    database = tmp_path / "orderkeep.db"
    database.write_bytes(b"ours")
    place = Place(database)

    other = tmp_path / "restored.db"
    other.write_bytes(b"ours")
    other.replace(database)

    assert not place.holds()


def test_a_log_that_is_made_later_belongs_to_the_database(tmp_path: Path) -> None:
    database, log = tmp_path / "orderkeep.db", tmp_path / "orderkeep.db-wal"
    database.write_bytes(b"ours")
    place = Place(database)

    log.write_bytes(b"first")
    assert place.holds()
    log.unlink()

    assert not place.holds()
