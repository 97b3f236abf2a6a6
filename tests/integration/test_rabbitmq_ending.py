"""The transport ends when it is asked to, whatever it is doing in that instant.

Before Python 3.12 ``asyncio.wait_for``, through which the library makes its calls, forgets that it
was cancelled when the answer comes in the same instant. A transport that was still connecting at
its end then connected, consumed, and never ended: one run of the tests in fifty waited for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import aio_pika
import pytest

from orderkeep.adapters.rabbitmq.link import Link
from orderkeep.kernel.clock import SystemClock
from orderkeep.testing.amqp_road import QUICK
from orderkeep.testing.rabbitmq_node import RabbitNode

ENDS_WITHIN_S = 60
NOWHERE = "amqp://nobody@127.0.0.1:1/"


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


class Forgetful:
    """A call that is answered in the instant of its cancellation, and forgets the latter once."""

    def __init__(self, answer: Callable[..., Awaitable[Any]]) -> None:
        self._answer = answer
        self.asked = asyncio.Event()

    async def __call__(self, *what: Any) -> Any:
        if not self.asked.is_set():
            self.asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await self._answer(*what)


class Guest:
    """A tenant without wishes."""

    async def ready(self) -> None:
        pass

    async def move_in(self, connection: aio_pika.Connection) -> None:
        pass

    async def move_out(self) -> None:
        pass


@pytest.mark.parametrize("step, broker", [("ready", "away"), ("ready", "up"), ("move_in", "up")])
async def test_a_connection_that_is_being_made_is_given_up_at_the_end(
    node: RabbitNode, step: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest()
    call = Forgetful(getattr(guest, step))
    monkeypatch.setattr(guest, step, call)
    link = Link(
        node.url if broker == "up" else NOWHERE, "guest", guest, SystemClock(), Random(7), QUICK
    )

    async with asyncio.timeout(ENDS_WITHIN_S), link:
        await call.asked.wait()

    assert link.state.connected_since is None
