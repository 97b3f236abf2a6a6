"""A call that was cut, at whatever moment, must not take the next one's connection with it.

``make faults`` found it (seed 20261123, clock 1 h back, 2 d ahead): one call was cut by our own
deadline, httpx kept its place in the pool, every later probe got the same connection, and the MES
counted as away until a restart.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import pytest

from orderkeep.adapters.far_http.settings import FarHttpSettings
from orderkeep.adapters.far_http.wire import NoReply, Wire

MOMENTS = range(60)
"""After so many turns of the loop: while it connects, sends, waits, reads, and is done."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, kw_only=True)
class Settings(FarHttpSettings):
    who: ClassVar[str] = "far side"

    connect_timeout: timedelta = timedelta(seconds=10)
    pool_timeout: timedelta = timedelta(seconds=2)
    read_timeout: timedelta = timedelta(seconds=10)
    total_timeout: timedelta = timedelta(seconds=20)
    max_connections: int = 1
    idle_connection: timedelta = timedelta(seconds=30)
    answer_cap_bytes: int = 1000


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request after some turns of the loop."""
    with closing(writer), suppress(EOFError, ConnectionError, asyncio.CancelledError):
        while await reader.readuntil(b"\r\n\r\n"):
            for _ in range(10):
                await asyncio.sleep(0)
            writer.write(ANSWER)


@asynccontextmanager
async def a_wire() -> AsyncIterator[Wire]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire(Settings(base_url=f"http://127.0.0.1:{port}"))
    yield wire
    await wire.aclose()
    server.close()
    for one in (served := asyncio.all_tasks() - {asyncio.current_task()}):
        one.cancel()
    await asyncio.gather(*served, return_exceptions=True)


async def cut(wire: Wire, turns: int) -> None:
    call = asyncio.create_task(wire.ask("GET", "/"))
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError, NoReply):
        await call


@pytest.mark.parametrize("warm", [False, True])
async def test_whenever_a_call_is_cut_the_next_one_is_answered(*, warm: bool) -> None:
    async with a_wire() as wire:
        for turns in MOMENTS:
            if not warm:
                await wire.aclose()
            await cut(wire, turns)

            reply = await wire.ask("GET", "/")

            assert reply.body == b"ok", f"cut after {turns} turns"
