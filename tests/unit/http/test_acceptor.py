"""Who waits in the kernel's queue is taken soon, however long the turns of the loop are."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import uvloop

from orderkeep.http.acceptor import AT_A_TIME, Acceptor
from orderkeep.http.sockets import listen


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


class Taken(asyncio.Protocol):
    """Counts those who were taken."""

    many = 0
    no_delay = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Taken.many += 1
        taken: socket.socket = transport.get_extra_info("socket")
        Taken.no_delay &= bool(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def turns(many: int) -> None:
    for _ in range(many):
        await asyncio.sleep(0)


def test_many_who_wait_are_taken_in_a_few_turns(runner: asyncio.Runner) -> None:
    async def taken_in(few: int) -> int:
        acceptor = Acceptor(asyncio.get_running_loop(), bound, Taken)
        for _ in range(AT_A_TIME):
            clients.enter_context(socket.create_connection(bound.getsockname()))
        await turns(few)
        acceptor.close()
        await acceptor.wait_closed()
        return Taken.many

    Taken.many = 0
    with ExitStack() as clients, listen("127.0.0.1", 0) as bound:
        assert runner.run(taken_in(few=8)) == AT_A_TIME
    assert Taken.no_delay, "an answer would wait for 40 ms"


def test_who_has_closed_takes_nobody(runner: asyncio.Runner) -> None:
    async def taken() -> int:
        acceptor = Acceptor(asyncio.get_running_loop(), bound, Taken)
        acceptor.close()
        clients.enter_context(socket.create_connection(bound.getsockname()))
        await turns(8)
        await acceptor.wait_closed()
        return Taken.many

    Taken.many = 0
    with ExitStack() as clients, listen("127.0.0.1", 0) as bound:
        assert runner.run(taken()) == 0
