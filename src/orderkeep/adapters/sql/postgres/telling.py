"""Telling other processes what was committed: NOTIFY, with polling as the net below it.

Sent after the commit, on a connection of its own. Inside the transaction PostgreSQL would let every
commit with a NOTIFY in it wait for the one before, sync included; and what is lost with a process
between commit and sending costs the others a round of polling, nothing else.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED

CHANNEL = "orderkeep"
NAMED = 500
"""Orders named in one message: PostgreSQL carries less than 8000 bytes."""
PENDING = 10_000
"""Changed orders that may wait to be told; beyond, the oldest are left to polling."""
PULSE_S = 10.0
"""How often a silent connection is asked whether it lives."""
PAUSE_S = 1.0
GAP_S = 0.002
"""Between two messages: while much is committed, what comes meanwhile shares the next."""

SHARE_S = 0.02
"""How long calls may be counted here only: what comes meanwhile shares the next message."""
KEYS_NAMED = 100
KEYS_PENDING = 10_000

log = structlog.get_logger()


class Told(msgspec.Struct):
    """What one message says: topics with work to do, orders whose rows have changed."""

    topics: list[str]
    orders: list[int]
    used: dict[str, float] = {}
    """Seconds of its quota that calls of a key have used up here since the last message."""
    ahead: dict[str, float] = {}
    """How many are used up in all, as far as is known here; for whoever has just begun."""
    begins: bool = False
    """Whether the sender has just begun, and knows nothing of what is used up."""
    rush: bool = False
    """Whether many orders wait at the sender's door."""


_decoder = msgspec.json.Decoder(Told)
Heard = Callable[[Told], None]


class Calls:
    """What partners' calls use up of their quotas, here and elsewhere."""

    def __init__(self) -> None:
        self.used: Callable[[str, float], None] | None = None
        self.ahead: Callable[[str, float], None] | None = None
        self.all_ahead: Callable[[], Iterable[tuple[str, float]]] = tuple
        self.begins = False
        self._used: dict[str, float] = {}
        self._asked = False

    def reconnected(self) -> bool:
        """What was told meanwhile we have missed: ask for it, if we count at all."""
        self.begins = self.used is not None
        return self.begins

    def add(self, name: str, seconds: float) -> bool:
        """Count a call of ours; whether it is the first since the last message."""
        is_first = not self._used
        if len(self._used) < KEYS_PENDING or name in self._used:
            self._used[name] = self._used.get(name, 0.0) + seconds
        return is_first

    def hear(self, told: Told) -> bool:
        """Take in what another tells; whether it is owed an answer."""
        if self.used is None or self.ahead is None:
            return False  # Nobody calls us: we have nothing to count.
        for name, seconds in told.used.items():
            self.used(name, seconds)
        for name, seconds in told.ahead.items():
            self.ahead(name, seconds)
        self._asked = self._asked or told.begins
        return told.begins

    def news(self) -> list[Told]:
        """What others have to know."""
        used, self._used = self._used, {}
        ahead = dict(self.all_ahead()) if self._asked else {}
        begins, self.begins, self._asked = self.begins, False, False
        news = [Told([], [], used=part) for part in _parts(used)]
        news += [Told([], [], ahead=part) for part in _parts(ahead)]
        return [Told([], [], begins=True), *news] if begins else news


def _parts(whole: dict[str, float]) -> list[dict[str, float]]:
    """As much as fits into a message each."""
    items = list(whole.items())
    return [dict(items[at : at + KEYS_NAMED]) for at in range(0, len(items), KEYS_NAMED)]


class Telling:
    """One connection that tells and listens; comes back by itself when it is lost."""

    def __init__(self, connect: Callable[[], Any], heard: Heard) -> None:
        self._connect = connect
        self._heard = heard
        self._topics: set[str] = set()
        self._orders: dict[int, None] = {}
        self._rush = False
        self._calls = Calls()
        self._wake = asyncio.Event()
        self._pid = 0
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        """Set while messages of other processes arrive."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._serve())

    def tell(self, topics: Iterable[str], orders: Iterable[int], *, rush: bool = False) -> None:
        """Have it sent; what waits together is one message. A rush alone is not worth one."""
        self._rush = self._rush or rush
        self._topics.update(topics)
        self._orders.update(dict.fromkeys(orders))
        while len(self._orders) > PENDING:
            del self._orders[next(iter(self._orders))]
        if self._topics or self._orders:
            self._wake.set()

    def used(self, name: str, seconds: float) -> None:
        """Tell others, soon, that a call has used up so much of a key's quota."""
        if self._calls.add(name, seconds):
            asyncio.get_running_loop().call_later(SHARE_S, self._wake.set)

    def on_used(
        self,
        used: Callable[[str, float], None],
        ahead: Callable[[str, float], None],
        all_ahead: Callable[[], Iterable[tuple[str, float]]],
    ) -> None:
        """Have ``used`` told of others' calls; see ``http.limits.Others``."""
        self._calls.used, self._calls.ahead, self._calls.all_ahead = used, ahead, all_ahead
        self._calls.begins = True
        self._wake.set()

    async def stop(self) -> None:
        """Stop listening; what was not sent is found by polling."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _serve(self) -> None:
        while True:
            try:
                await self._listen()
            except DRIVER_FAILED as error:
                log.warning("store.listening_lost", reason=type(error).__name__)
            finally:
                self.listening.clear()
            await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        connection = await self._connect()
        try:
            self._pid = connection.get_server_pid()
            await connection.add_listener(CHANNEL, self._received)
            connection.add_termination_listener(lambda _: self._wake.set())
            self.listening.set()
            if self._calls.reconnected():
                self._wake.set()
            while True:
                await self._rest()
                await self._send(connection)
                await asyncio.sleep(GAP_S)
        finally:
            connection.terminate()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PULSE_S):
                await self._wake.wait()
        self._wake.clear()

    async def _send(self, connection: Any) -> None:
        topics, orders, rush = sorted(self._topics), list(self._orders), self._rush
        self._topics.clear()
        self._orders.clear()
        self._rush = False
        news = [
            Told(topics if start == 0 else [], orders[start : start + NAMED], rush=rush)
            for start in range(0, max(len(orders), 1) if topics or orders else 0, NAMED)
        ]
        news += self._calls.news()
        # With nothing to say it is the pulse: a dead peer is noticed.
        if not news:
            await connection.execute("SELECT 1")
        for said in news:
            payload = msgspec.json.encode(said).decode()
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    def _received(self, _connection: Any, sender: int, _channel: str, payload: str) -> None:
        if sender == self._pid:
            return  # our own: told here already
        try:
            told = _decoder.decode(payload)
        except msgspec.MsgspecError:
            log.warning("store.notice_unreadable")
            return
        if self._calls.hear(told):
            self._wake.set()
        self._heard(told)
