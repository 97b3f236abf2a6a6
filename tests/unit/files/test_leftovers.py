"""Bytes that nobody names are put aside after a day, removed after a month, and no others."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from orderkeep.adapters.files import LocalFiles
from orderkeep.files.leftovers import ASIDE, OLD, Leftovers
from orderkeep.files.upload import Files, Uploader
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.testing.process import SimClock
from orderkeep.testing.store import SimStore

CONTENT = b"solid ring"
SHA256 = sha256(CONTENT).hexdigest()
PARTNER = PartnerId("partner")
AGED = OLD + timedelta(hours=1)


class Shelf:
    """A folder, a database, and what the product does with both."""

    def __init__(self, folder: Path) -> None:
        self.store = SimStore()
        self.store.raw.execute("INSERT INTO partners (id, name, created_at) VALUES (?1, ?1, 0)",
                               (PARTNER,))  # fmt: skip
        self.clock = SimClock()
        self.clock.true = datetime.now(UTC)  # as the file system's
        self.folder = folder
        self.keeper = LocalFiles(folder)
        self.files = Files(self.store, self.keeper, self.clock, Ids())
        self.leftovers = Leftovers(self.store, self.keeper, self.clock)

    async def keep(self) -> None:
        """Keep the bytes; the crash comes before the row."""
        incoming = await self.keeper.receive()
        await incoming.write(CONTENT)
        await incoming.finish()
        await incoming.keep()

    async def take(self) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield CONTENT

        await self.files.take(Uploader(PARTNER, "key"), "ring.stl", chunks())

    def age(self) -> None:
        """The bytes have lain for long."""
        at = (self.clock.now() - AGED).timestamp()
        os.utime(self.folder / "sha256" / SHA256[:2] / SHA256, (at, at))

    async def kept(self) -> bool:
        return SHA256 in await self.keeper.sizes()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def test_what_a_crash_left_without_a_row_is_put_aside_after_a_day(shelf: Shelf) -> None:
    """Nobody ever removed it: the disk filled with bytes that no order had."""
    await shelf.keep()
    await shelf.leftovers.step()
    assert await shelf.kept()

    shelf.age()
    await shelf.leftovers.step()

    assert not await shelf.kept()


async def test_what_a_row_names_is_never_put_aside(shelf: Shelf) -> None:
    await shelf.take()
    shelf.age()

    await shelf.leftovers.step()

    assert await shelf.kept()


async def test_an_upload_of_the_same_bytes_makes_them_young(shelf: Shelf) -> None:
    """Its row is not there yet, and its bytes are shared with what was left."""
    await shelf.keep()
    shelf.age()
    await shelf.keep()

    await shelf.leftovers.step()

    assert await shelf.kept()


@pytest.mark.parametrize("uploading", [Shelf.keep, Shelf.take])
async def test_an_upload_between_the_look_and_the_putting_keeps_its_bytes(
    shelf: Shelf, uploading: Callable[[Shelf], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await shelf.keep()
    shelf.age()
    set_aside = LocalFiles.set_aside

    async def after_an_upload(self: LocalFiles, sha256_hex: str, instant: datetime) -> bool:
        await uploading(shelf)
        return await set_aside(self, sha256_hex, instant)

    monkeypatch.setattr(LocalFiles, "set_aside", after_an_upload)

    await shelf.leftovers.step()

    assert await shelf.kept()


async def test_bytes_are_as_old_as_their_keeping_not_as_their_coming(shelf: Shelf) -> None:
    """A client that paused for long before the end of its file."""
    incoming = await shelf.keeper.receive()
    await incoming.write(CONTENT)
    await incoming.finish()
    at = (shelf.clock.now() - AGED).timestamp()
    [coming] = (shelf.folder / "incoming").iterdir()
    os.utime(coming, (at, at))
    await incoming.keep()

    await shelf.leftovers.step()

    assert await shelf.kept()


async def test_what_lay_aside_for_a_month_is_removed(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.age()
    await shelf.leftovers.step()
    assert await shelf.keeper.aside() == [SHA256]

    shelf.clock.true += ASIDE + timedelta(hours=1)
    await shelf.leftovers.step()

    assert await shelf.keeper.aside() == []


async def test_a_row_put_back_with_an_older_database_finds_its_bytes_again(shelf: Shelf) -> None:
    """They would have been gone: the day after an older copy of the database was put back."""
    await shelf.take()
    shelf.store.raw.execute("UPDATE files SET sha256 = ?", ("0" * 64,))
    shelf.age()
    await shelf.leftovers.step()
    assert not await shelf.kept()

    shelf.store.raw.execute("UPDATE files SET sha256 = ?", (SHA256,))
    await shelf.leftovers.step()

    assert await shelf.kept()
