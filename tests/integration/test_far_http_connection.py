"""What one connection to a foreign system takes for an answer, and when it is used again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from typing import Any

import pytest
import uvloop

from orderkeep.adapters.far_http.wire import NoReply, Wire
from orderkeep.adapters.mes_http import MesHttpSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WHOLE = {
    "with a length": OK,
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nok",
    "from an old server": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "after an interim one": b"HTTP/1.1 102 Processing\r\n\r\n" + OK,
}
NONE = {
    "cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "chunks cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked"
    b"\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "packed for the way": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
    "endless body": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000,
    "another language": b"SSH-2.0-OpenSSH_9.6\r\n",
}


class FarSide:
    """Says what it was told to say, one answer a request, and counts who came."""

    def __init__(self, answers: Sequence[bytes], *, stays: bool) -> None:
        self._answers = iter(answers)
        self._stays = stays
        self.connections = 0
        self.hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer), suppress(EOFError, ConnectionError, asyncio.CancelledError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(next(self._answers))
                await writer.drain()
                if not self._stays:
                    break
        self.hung_up.set()


@asynccontextmanager
async def far(
    *answers: bytes, stays: bool = False, **settings: Any
) -> AsyncIterator[tuple[Wire, FarSide]]:
    side = FarSide(answers, stays=stays)
    server = await asyncio.start_server(side.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    given = {"base_url": f"http://127.0.0.1:{port}", "answer_cap_bytes": 1000, **settings}
    wire = Wire(MesHttpSettings(**given))
    yield wire, side
    await wire.aclose()
    server.close()
    for one in (served := asyncio.all_tasks() - {asyncio.current_task()}):
        one.cancel()
    await asyncio.gather(*served, return_exceptions=True)


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE.keys())
async def test_a_whole_answer_is_taken_however_it_is_sent(answer: bytes) -> None:
    async with far(answer) as (wire, _):
        assert (await wire.ask("GET", "/")).body == b"ok"


@pytest.mark.parametrize("answer", NONE.values(), ids=NONE.keys())
async def test_what_is_no_whole_answer_may_have_been_done(answer: bytes) -> None:
    async with far(answer) as (wire, _):
        with pytest.raises(NoReply) as caught:
            await wire.ask("POST", "/", body=b"{}")

    assert not caught.value.unsent


async def test_a_connection_is_used_again() -> None:
    async with far(OK, OK, OK, stays=True) as (wire, side):
        for _ in range(3):
            await wire.ask("GET", "/")

    assert side.connections == 1


async def test_whoever_was_hung_up_on_connects_anew() -> None:
    """The far side closes what was idle: the next request must not be the one that finds out."""
    async with far(OK, OK) as (wire, side):
        for _ in range(2):
            await wire.ask("POST", "/", body=b"{}")
            await side.hung_up.wait()
            side.hung_up.clear()

    assert side.connections == 2


async def test_more_than_was_asked_for_is_nobodys_answer() -> None:
    async with far(OK + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", OK, stays=True) as (
        wire,
        side,
    ):
        first = await wire.ask("GET", "/")
        second = await wire.ask("GET", "/")

    assert (first.status, second.status, side.connections) == (200, 200, 2)


async def test_an_unused_connection_is_not_trusted_for_long() -> None:
    async with far(OK, OK, stays=True, idle_connection=timedelta(0)) as (wire, side):
        await wire.ask("GET", "/")
        await wire.ask("GET", "/")

    assert side.connections == 2


async def test_a_handshake_that_fails_has_sent_nothing() -> None:
    async with far(b"HTTP/1.1 400 No\r\n\r\n") as (plain, _):
        address = plain._base.replace("http:", "https:")  # The same far side.
        wire = Wire(MesHttpSettings(base_url=address, connect_timeout=timedelta(seconds=1)))
        with pytest.raises(NoReply) as caught:
            await wire.ask("POST", "/", body=b"{}")

    assert caught.value.unsent


async def test_a_header_cannot_begin_another_line() -> None:
    async with far(OK) as (wire, side):
        with pytest.raises(ValueError, match="header"):
            await wire.ask("GET", "/", headers={"Idempotency-Key": "7\r\nX: y"})

    assert side.connections == 0


def test_the_loop_that_serves_people_carries_it_too() -> None:
    """Uvloop's connections are asyncio's in what they do, and in nothing else."""

    async def ask() -> bytes:
        async with far(OK, OK, stays=True) as (wire, _):
            await wire.ask("GET", "/")
            return (await wire.ask("GET", "/")).body

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        assert loop.run(ask()) == b"ok"
