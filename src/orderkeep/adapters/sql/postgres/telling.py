"""Telling other processes what was committed: NOTIFY, with polling as the net below it.

Sent after the commit, on a connection of its own. Inside the transaction PostgreSQL would let every
commit with a NOTIFY in it wait for the one before, sync included; and what is lost with a process
between commit and sending costs the others a round of polling, nothing else.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec
import structlog

CHANNEL = "orderkeep"
NAMED = 500
"""Orders named in one message: PostgreSQL carries less than 8000 bytes."""
PENDING = 10_000
"""Changed orders that may wait to be told; beyond, the oldest are left to polling."""
PULSE_S = 10.0
"""How often a silent connection is asked whether it lives."""
PAUSE_S = 1.0
GAP_S = 0.005
"""Between two messages: while much is committed, what comes meanwhile shares the next."""

log = structlog.get_logger()


class Told(msgspec.Struct):
    """What one message says: topics with work to do, orders whose rows have changed."""

    topics: list[str]
    orders: list[int]


_decoder = msgspec.json.Decoder(Told)
Heard = Callable[[Told], None]


class Telling:
    """One connection that tells and listens; comes back by itself when it is lost."""

    def __init__(self, connect: Callable[[], Any], heard: Heard) -> None:
        self._connect = connect
        self._heard = heard
        self._topics: set[str] = set()
        self._orders: dict[int, None] = {}
        self._wake = asyncio.Event()
        self._pid = 0
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        """Set while messages of other processes arrive."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._serve())

    def tell(self, topics: Iterable[str], orders: Iterable[int]) -> None:
        """Have it sent; what waits together is one message."""
        self._topics.update(topics)
        self._orders.update(dict.fromkeys(orders))
        while len(self._orders) > PENDING:
            del self._orders[next(iter(self._orders))]
        if self._topics or self._orders:
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
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
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
        topics, orders = sorted(self._topics), list(self._orders)
        self._topics.clear()
        self._orders.clear()
        # With nothing to say it is the pulse: a dead peer is noticed.
        if not topics and not orders:
            await connection.execute("SELECT 1")
        for start in range(0, max(len(orders), 1) if topics or orders else 0, NAMED):
            said = Told(topics if start == 0 else [], orders[start : start + NAMED])
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
        self._heard(told)
