"""Found by attacking the running office: who must stay out, and who must not be shut out."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from orderkeep.access.ports import PersonChange
from orderkeep.access.registry import Registry
from orderkeep.access.rights import Role
from orderkeep.access.sessions import Sessions, WrongCredentials
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import Ids
from orderkeep.testing.clock import TestClock
from orderkeep.testing.office import NOON

OLD, NEW = "the old password", "the new password"


class SlowPasswords:
    """Hashing that takes as long as the test wants."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.looking = asyncio.Event()

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.looking.set()
        await self.go_on.wait()
        return password_hash == f"hash of {password}"


def store_in(folder: Path) -> SqliteStore:
    url = f"sqlite:///{folder}/orderkeep.db"
    migrate(url)
    return open_store(url, Bells())


@pytest.mark.parametrize("change", [PersonChange(disabled=True), PersonChange(role=Role.ADMIN)])
async def test_whoever_is_changed_while_signing_in_has_to_sign_in_again(
    tmp_path: Path, change: PersonChange
) -> None:
    """The change ended every session, and then one was opened on what had been read before it."""
    with pytest.raises(WrongCredentials):
        await sign_in_during(tmp_path, change)


async def test_an_old_password_opens_nothing_once_it_is_changed(tmp_path: Path) -> None:
    """A thief with the old password, signing in while its owner changed it, stayed signed in."""
    with pytest.raises(WrongCredentials):
        await sign_in_during(tmp_path, PersonChange(), NEW)


async def sign_in_during(tmp_path: Path, change: PersonChange, password: str | None = None) -> None:
    """Olga signs in with her old password; while it is being looked at she is changed."""
    passwords, clock, ids = SlowPasswords(), TestClock(NOON), Ids()
    async with store_in(tmp_path) as store:
        registry = Registry(store, passwords, clock, ids)
        person = await registry.add_person(
            "test", login="olga", name="Olga", role="seller", locale="ru", password=OLD
        )
        sessions = Sessions(store, passwords, clock, ids)
        signing_in = asyncio.create_task(sessions.sign_in("olga", OLD, "here"))
        await passwords.looking.wait()
        await registry.change_person("test", person.id, change, password)
        passwords.go_on.set()
        await signing_in


async def test_a_full_disk_does_not_shut_the_board_to_whoever_is_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prolonging the session was a write, and failed every reading request with it."""
    passwords, clock, ids = SlowPasswords(), TestClock(NOON), Ids()
    passwords.go_on.set()
    async with store_in(tmp_path) as store:
        registry = Registry(store, passwords, clock, ids)
        await registry.add_person(
            "test", login="olga", name="Olga", role="seller", locale="ru", password=OLD
        )
        sessions = Sessions(store, passwords, clock, ids)
        opened = await sessions.sign_in("olga", OLD, "here")
        clock.advance(timedelta(hours=2))

        async def full(_: object) -> None:
            raise StoreBusy("The disk is full")

        monkeypatch.setattr(store, "write", full)

        assert (await sessions.session(opened.token)).person.login == "olga"
