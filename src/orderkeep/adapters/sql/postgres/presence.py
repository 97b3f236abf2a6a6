"""Proof that a process lives: a session of its own that holds an advisory lock of its name.

The server frees the lock when the session ends, however the process ended; one that was merely
stopped keeps it. A session can also end while its process lives on (the server was restarted, a
line was cut). Such a process takes its lock again within a second. So whoever is missing counts as
gone only after it has been missing for ``PROOF_S``, and by then has cut what it had under way.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog

from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import Ids

PULSE_S = 1.0
"""How often the session is asked whether it stands."""
ANSWER_S = 2.0
"""How long it may take to answer, before the lock counts as lost."""
PROOF_S = 10.0
"""How long somebody has to be missing: longer than anybody can believe in a lock it has lost."""

_PRESENT = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# A machine that vanished says nothing more: the server has to ask for it.
_NOTICE = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)

log = structlog.get_logger()


class Presence:
    """This process as the others see it; ``holder`` is its name for its whole life."""

    def __init__(self, connect: Callable[[], Any], holder: str) -> None:
        self._connect = connect
        self.holder = holder
        self._session: Any = None
        self._asking, self._deciding = asyncio.Lock(), asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._leads: set[str] = set()
        self._missing: dict[str, dict[str, float]] = {}
        """Of those whom each asker named last: who is missing, and since when."""

    @property
    def is_seen(self) -> bool:
        """Whether our lock is held, as far as we know."""
        return self._session is not None and not self._session.is_closed()

    async def lost(self) -> None:
        """Return when our lock is not held any more, as far as we know."""
        await self._lost.wait()

    async def start(self) -> None:
        """Take our lock; the rest of our life it is kept, or taken again."""
        await self._take()
        self._task = asyncio.create_task(self._keep(), name="store.presence")

    async def stop(self) -> None:
        """Let go: others see at once that nothing of ours is under way."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._drop()

    async def leads(self, name: str) -> bool:
        """Whether this process is the one of all that does what only one may do."""
        if not self.is_seen:
            return False
        async with self._deciding:  # Several loops of a role ask at once.
            if name not in self._leads and await self._try(name):
                log.info("process.leads", what=name)
                self._leads.add(name)
            return name in self._leads

    async def gone(self, holders: Iterable[str], asker: str = "") -> set[str]:
        """Those who are proven gone: nothing of theirs is under way any more."""
        if not self.is_seen:
            self._missing.clear()  # While we see nothing, nobody's time runs.
            return set()
        now = asyncio.get_running_loop().time()
        present = await self._look()
        missing = {one for one in holders if one != self.holder and number(one) not in present}
        before = self._missing.get(asker, {})
        self._missing[asker] = {one: before.get(one, now) for one in missing}
        return {one for one, since in self._missing[asker].items() if now - since >= PROOF_S}

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PULSE_S)
            try:
                if self.is_seen:
                    # Also for whoever asks seldom: back and lost again is not missing all the time.
                    await self._look()
                else:
                    self._drop()
                    await self._take()
            except (*DRIVER_FAILED, StoreBusy) as error:
                log.warning("store.presence_lost", reason=type(error).__name__)
                self._drop()

    async def _look(self) -> set[int]:
        """Who is present; of whom is, no earlier sighting counts."""
        present = {row[0] for row in await self._asked(_PRESENT)}
        for asker, missing in self._missing.items():
            still = {one: since for one, since in missing.items() if number(one) not in present}
            self._missing[asker] = still
        return present

    async def _take(self) -> None:
        session = await self._connect()
        self._leads.clear()
        try:
            await session.execute(_NOTICE, timeout=ANSWER_S)
            # Ours alone: it can only be held by an earlier session of ours that the server has
            # not missed yet.
            taken = await session.fetchval(
                "SELECT pg_try_advisory_lock($1)", number(self.holder), timeout=ANSWER_S
            )
        except BaseException:
            session.terminate()
            raise
        if taken:
            self._session = session
            self._lost.clear()
            session.add_termination_listener(lambda _: self._lost.set())
        else:
            session.terminate()

    async def _try(self, name: str) -> bool:
        [(taken,)] = await self._asked("SELECT pg_try_advisory_lock($1)", number(f"leads {name}"))
        return bool(taken)

    async def _asked(self, sql: str, *values: Any) -> list[Any]:
        """What the session answers.

        Raises:
            StoreBusy: there is none, or it has ended.
        """
        async with self._asking:
            if not self.is_seen:
                raise StoreBusy("The database does not know that we are here")
            try:
                found: list[Any] = await self._session.fetch(sql, *values, timeout=ANSWER_S)
            except DRIVER_FAILED as error:
                self._drop()
                raise StoreBusy("The database cannot be asked now") from error
            return found

    def _drop(self) -> None:
        session, self._session = self._session, None
        self._lost.set()
        self._leads.clear()
        self._missing.clear()
        if session is not None:
            session.terminate()


def number(name: str) -> int:
    """The advisory lock of a name: 64 bits, signed as PostgreSQL wants them."""
    digest = hashlib.sha256(f"orderkeep {name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def holder_of(ids: Ids) -> str:
    """A name for this process that no other has, before or after it."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{ids.token(8)}"
