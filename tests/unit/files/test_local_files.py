"""Bytes in a folder: whole under their hash, or not at all."""

import asyncio
import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orderkeep.adapters.files import LocalFiles
from orderkeep.files.ports import FileNotFound, FilesUnavailable

CONTENT = b"solid ring" * 300_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


async def keep(files: LocalFiles, content: bytes = CONTENT) -> str:
    incoming = await files.receive()
    for at in range(0, len(content), 65536):
        await incoming.write(content[at : at + 65536])
    sha256 = await incoming.finish()
    await incoming.keep()
    await incoming.discard()
    return sha256


async def test_bytes_come_back_as_they_went_in(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)

    assert await keep(files) == SHA256

    async with files.open(SHA256) as path:
        assert path.read_bytes() == CONTENT
    assert await files.sizes() == {SHA256: len(CONTENT)}


async def test_the_same_bytes_twice_are_kept_once(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)

    await keep(files)
    await keep(files)

    assert await files.sizes() == {SHA256: len(CONTENT)}
    assert files.forget_unfinished() == 0


async def test_file_and_folder_are_synced_before_the_name_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalFiles(tmp_path)
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("sync")
        fsync(descriptor)

    def named(path: Path, target: Path) -> Path:
        steps.append("name")
        return replace(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", named)

    await keep(files)

    # The bytes, the name, the name's entry.
    assert steps == ["sync", "name", "sync"]


def test_every_folder_is_there_and_synced_before_the_first_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two uploads into a new folder could each trust the other to sync its entry."""
    synced: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", note)

    root = (tmp_path / "var" / "files").resolve()
    LocalFiles(root)

    assert len(list((root / "sha256").iterdir())) == 256
    assert synced == [root / "sha256", root, root.parent, root.parent.parent]


async def test_an_upload_given_up_leaves_nothing(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    incoming = await files.receive()
    await incoming.write(CONTENT)

    await incoming.discard()

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_who_gives_an_upload_up_does_not_close_the_file_beneath_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor would be another file's by the time that the thread comes to use it."""
    incoming = await LocalFiles(tmp_path).receive()
    await incoming.write(CONTENT)
    begun, may_end, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        may_end.wait(10)
        fsync(descriptor)  # Raises when there is no such file any more.
        steps.append("synced")

    steps: list[str] = []
    monkeypatch.setattr(os, "fsync", slow)
    keeping = asyncio.create_task(incoming.keep())
    await asyncio.to_thread(begun.wait, 10)
    keeping.cancel()
    given_up = asyncio.create_task(incoming.discard())
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert not incoming._file.closed

    may_end.set()
    await given_up

    assert steps[0] == "synced"
    assert incoming._file.closed


async def test_bytes_that_another_process_keeps_just_now_are_not_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes share the folder and no lock: its row would name what is not there."""
    ours, theirs = LocalFiles(tmp_path), tmp_path / "theirs"
    await keep(ours)
    async with ours.open(SHA256) as path:
        os.utime(path, (0, 0))
    theirs.write_bytes(CONTENT)
    rename = Path.rename

    def late(source: Path, target: Path) -> Path:
        theirs.replace(source)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", late)

    assert not await ours.set_aside(SHA256, datetime.now(UTC) - timedelta(days=1))

    assert await ours.sizes() == {SHA256: len(CONTENT)}
    assert await ours.aside() == []


async def test_what_a_killed_process_left_half_is_forgotten(tmp_path: Path) -> None:
    incoming = await LocalFiles(tmp_path).receive()
    await incoming.write(CONTENT)

    assert LocalFiles(tmp_path).forget_unfinished() == 1
    await incoming.discard()


@pytest.mark.parametrize("sha256", [SHA256, "", "../../x", "0" * 64, "." * 64, "/" * 64])
async def test_what_is_not_kept_is_not_found(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(FileNotFound):
        async with LocalFiles(tmp_path).open(sha256):
            pass


async def test_a_full_disk_is_told_as_come_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = await LocalFiles(tmp_path).receive()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(FilesUnavailable):
        await incoming.keep()
    await incoming.discard()
