"""What one connection may make the server do."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from orderkeep.http.admission import BOUNDS, Admission
from orderkeep.http.at_once import AtOnce, WholeRequest
from orderkeep.http.door.app import kind_of
from orderkeep.http.edge import EdgeLimits, EdgeProtocol, protocol
from orderkeep.http.gate import Gate
from orderkeep.http.looks import A_TURN
from orderkeep.http.looks import AT_ONCE as LOOKS_AT_ONCE
from orderkeep.http.problems import Rendered
from orderkeep.http.whole import send_whole
from orderkeep.intake.ports import NOTHING_WAITS

A_LIST = b"GET /v1/orders HTTP/1.1\r\nHost: door\r\n\r\n"
AN_ORDER = b"POST /v1/orders HTTP/1.1\r\nHost: door\r\nContent-Length: 2\r\n\r\n{}"


class App:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.at_once: AtOnce = {}
        self.gate = Gate(Admission(BOUNDS), kind_of, lambda: NOTHING_WAITS)
        self.goes = asyncio.Event()
        self.called = 0

    async def __call__(
        self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]
    ) -> None:
        self.called += 1
        await self.goes.wait()
        await send_whole(scope, send, Rendered(200, [(b"content-length", b"0")], b""))


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.written.split(b"HTTP/1.1 ")[1:]]


def connected(app: App, edges: type[EdgeProtocol] = EdgeProtocol) -> tuple[EdgeProtocol, Wire]:
    # As in ``http.serve``: nothing may stand between the server and what the application offers.
    config = uvicorn.Config(
        app,
        http=protocol(EdgeLimits()),
        lifespan="off",
        log_config=None,
        interface="asgi3",
        proxy_headers=False,
    )
    config.load()
    wire = Wire()
    edge = edges(config, ServerState(), {}, asyncio.get_running_loop())
    edge.connection_made(wire)  # type: ignore[arg-type]  # What of a transport it uses.
    return edge, wire


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_who_leaves_its_answers_unread_is_served_no_further() -> None:
    app = App()
    app.goes.set()
    edge, wire = connected(app)
    edge.pause_writing()

    edge.data_received(A_LIST * 3)
    await settled()
    unread = wire.statuses
    edge.resume_writing()
    await settled()

    assert (unread, wire.statuses) == ([200], [200] * 3)
    assert app.called == 3


async def test_looks_are_refused_beyond_a_number_and_orders_are_not() -> None:
    app = App()
    many = [connected(app) for _ in range(LOOKS_AT_ONCE + 1)]
    for edge, _ in many:
        edge.data_received(A_LIST)
    await settled()
    edge, orders = connected(app)
    edge.data_received(AN_ORDER)
    await settled()
    refused = [wire.statuses for _, wire in many].count([503])
    called = app.called
    app.goes.set()
    await settled()

    assert (refused, called) == (1, LOOKS_AT_ONCE + 1)
    assert orders.statuses == [200]


async def test_whoever_goes_leaves_a_place_to_others() -> None:
    app = App()
    many = [connected(app) for _ in range(LOOKS_AT_ONCE)]
    for edge, _ in many:
        edge.data_received(A_LIST)
    await settled()
    many[0][0].connection_lost(None)
    app.goes.set()

    edge, wire = connected(app)
    edge.data_received(A_LIST)
    await settled()

    assert wire.statuses == [200]


async def test_a_look_behind_an_order_is_refused_when_its_turn_comes() -> None:
    app = App()
    edge, wire = connected(app)
    edge.data_received(AN_ORDER + A_LIST + AN_ORDER)
    for _ in range(LOOKS_AT_ONCE):
        app.gate.look(lambda: None, asyncio.get_running_loop())
    app.goes.set()
    await settled()

    assert wire.statuses == [200, 503, 200]


async def test_nothing_runs_for_an_order_whose_body_takes_for_ever() -> None:
    app, taken = App(), []

    def take(request: WholeRequest) -> bool:
        taken.append(request.body)
        return True

    app.at_once = {(b"POST", b"/v1/orders"): take}
    edge, _ = connected(app)
    for place in range(len(AN_ORDER)):
        await settled()
        assert (app.called, taken) == (0, [])
        edge.data_received(AN_ORDER[place : place + 1])

    assert (app.called, taken) == (0, [b"{}"])


async def test_who_takes_for_ever_over_a_body_is_told_so() -> None:
    app = App()
    app.at_once = {(b"POST", b"/v1/orders"): lambda _: True}
    edge, wire = connected(app)
    edge.data_received(AN_ORDER[:-1])

    edge.check(asyncio.get_running_loop().time() + EdgeLimits().body_grace_s + 1)

    assert wire.statuses == [408]


async def test_a_few_looks_are_begun_in_each_turn() -> None:
    app = App()
    for _ in range(LOOKS_AT_ONCE):
        connected(app)[0].data_received(A_LIST)
    called = [app.called]
    for _ in range(100):
        await asyncio.sleep(0)
        called.append(app.called)

    assert called[-1] == LOOKS_AT_ONCE
    assert max(after - before for before, after in pairwise(called)) <= A_TURN


async def test_when_the_door_is_full_whoever_was_not_served_for_the_longest_goes() -> None:
    app = App()
    edges = protocol(EdgeLimits(connections=3))
    busy, busy_wire = connected(app, edges)
    busy.data_received(AN_ORDER)
    slow, slow_wire = connected(app, edges)
    slow.data_received(AN_ORDER[:-1])
    _, served_wire = connected(app, edges)
    await settled()

    _, newcomer = connected(app, edges)
    assert (slow_wire.closed, newcomer.closed) == (True, False)
    slow.connection_lost(None)
    app.goes.set()
    await settled()

    assert busy_wire.statuses == [200]
    assert (busy_wire.closed, served_wire.closed) == (False, False)


async def test_nobody_whose_request_is_under_way_goes_for_a_newcomer() -> None:
    app = App()
    edges = protocol(EdgeLimits(connections=1))
    busy, busy_wire = connected(app, edges)
    busy.data_received(AN_ORDER)
    await settled()

    _, newcomer = connected(app, edges)

    assert (busy_wire.closed, newcomer.closed) == (False, True)
