"""Found by attacking the running office: other partners' files, and streams that fall silent."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orderkeep.access.keys import OFFICE, Partner
from orderkeep.access.rights import Role
from orderkeep.board.actions import Viewer
from orderkeep.files.upload import Uploader
from orderkeep.http.office import stream as module
from orderkeep.http.office.stream import Stream
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import PartnerId
from orderkeep.testing.office import running_office

RIVAL = PartnerId("rival")


async def _bytes() -> AsyncIterator[bytes]:
    yield b"solid ring"


async def test_a_seller_cannot_put_one_partners_file_into_anothers_order(tmp_path: Path) -> None:
    """The order's own partner was then shown the name and the hash of its rival's model."""
    async with running_office(tmp_path) as office:
        rival = Partner(RIVAL, "rival", None, datetime.now(UTC))
        await office.store.write(lambda work: work.access.add_partner(rival))
        files = office.app.office.files
        assert files is not None
        ours = await files.take(Uploader(OFFICE, "person:maker"), "ours.stl", _bytes())
        other = await files.take(Uploader(OFFICE, "person:maker"), "other.stl", _bytes())
        theirs = await files.take(Uploader(RIVAL, "key"), "theirs.stl", _bytes())
        item = {"file_id": ours.id, "material": "ag925", "quantity": 1}
        no = await office.order("ref-1", items=[item])
        seller = await office.desk(Role.SELLER)

        foreign = await seller.act(no, "replace-file", position=1, file_id=theirs.id)
        own = await seller.act(no, "replace-file", position=1, file_id=other.id)

        assert (foreign.status_code, foreign.json()["type"]) == (404, "/problems/file-not-found")
        assert own.status_code == 200
        assert (await office.load(no)).positions[0].file_id != theirs.id


class FailingOnce:
    """A source whose disk fails at the first question."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = asyncio.Event()

    async def names(self) -> Any:
        raise AssertionError("no row has changed")

    async def version(self) -> int:
        return 1

    def forget_pages(self) -> None: ...

    async def counts(self, login: str) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise sqlite3.OperationalError("disk I/O error")
        self.answered.set()
        return {}

    def row(self, *_: object) -> bytes:
        return b"{}"

    async def still_signed_in(self, token: str) -> bool:
        return True


async def test_boards_stay_live_after_a_disk_that_failed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One failed read ended the task that feeds all boards: they stood still until a restart."""
    for name in ("GATHER_S", "FLOODED_S", "COUNTS_S", "COUNTS_AT_LEAST_S"):
        monkeypatch.setattr(module, name, 0.01)

    def never(_: Callable[..., None]) -> None:
        return None

    stream, source = Stream(SystemClock(), never), FailingOnce()
    running = asyncio.create_task(stream.run(source))
    viewer = Viewer("olga", Role.SELLER, read_only=False)
    stream._clients.add(module.Client(viewer, "token"))  # a browser without a socket
    stream._any.set()

    async with asyncio.timeout(20):
        await source.answered.wait()

    stream.close()
    await running
