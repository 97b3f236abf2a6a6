"""Taking files in, without a server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orderkeep.adapters.files import LocalFiles
from orderkeep.files.upload import Files, TooManyUploads, Uploader
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.testing.process import SimClock
from orderkeep.testing.store import SimStore

SLOW, OTHER = Uploader(PartnerId("slow"), "key"), Uploader(PartnerId("other"), "key")


async def test_a_slow_partner_does_not_keep_the_door_shut_for_others(tmp_path: Path) -> None:
    """One partner that sent a kilobyte a second held all 64 places for days."""
    store = SimStore()
    for name in ("slow", "other"):
        store.raw.execute("INSERT INTO partners (id, name, created_at) VALUES (?1, ?1, 0)", (name,))
    files = Files(store, LocalFiles(tmp_path), SimClock(), Ids(), max_uploads_each=2)
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"solid"
        await go_on.wait()

    async def quickly() -> AsyncIterator[bytes]:
        yield b"solid"

    async with asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(files.take(SLOW, f"{n}.stl", slowly()))
        await asyncio.sleep(0)
        with pytest.raises(TooManyUploads):
            await files.take(SLOW, "third.stl", quickly())
        try:
            assert (await files.take(OTHER, "ring.stl", quickly())).size_bytes == 5
        finally:
            go_on.set()

    assert (await files.take(SLOW, "third.stl", quickly())).size_bytes == 5
