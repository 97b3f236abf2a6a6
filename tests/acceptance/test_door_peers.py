"""One stranger may hold many connections, but never all of them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orderkeep.http.edge import EdgeLimits
from orderkeep.http.peers import peer_of
from orderkeep.testing.door import DoorUnderTest

LIMIT = 20
STRANGER, OTHER, GUEST, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorUnderTest]:
    door = DoorUnderTest(
        Path(tmp_path_factory.mktemp("door")), EdgeLimits(connections_per_peer=LIMIT)
    )
    door.start()
    yield door
    door.stop()


def connect(door: DoorUnderTest, address: str) -> socket.socket:
    return socket.create_connection(
        ("127.0.0.1", door.port), timeout=60, source_address=(address, 0)
    )


def status(connection: socket.socket) -> bytes:
    """What a request on it is answered."""
    connection.sendall(GET)
    return connection.recv(4096).split(b" ")[1]


def test_a_stranger_with_too_many_connections_is_told_so_and_nobody_else(
    door: DoorUnderTest,
) -> None:
    with ExitStack() as held:
        first = [held.enter_context(connect(door, STRANGER)) for _ in range(LIMIT)]
        assert {status(one) for one in first} == {b"200"}

        beyond = held.enter_context(connect(door, STRANGER))
        told = beyond.recv(4096)

        assert told.startswith(b"HTTP/1.1 429 ")
        assert b"too many connections" in told
        assert beyond.recv(1) == b""
        assert status(held.enter_context(connect(door, OTHER))) == b"200"
        assert status(first[0]) == b"200"


def test_a_place_is_free_again_when_a_connection_ends(door: DoorUnderTest) -> None:
    with ExitStack() as held:
        for _ in range(LIMIT):
            assert status(held.enter_context(connect(door, GUEST))) == b"200"
    ends = time.monotonic() + 60
    while True:
        with connect(door, GUEST) as again:
            again.sendall(GET)
            if again.recv(4096).startswith(b"HTTP/1.1 200 "):
                return
        assert time.monotonic() < ends, "its connections have ended, and it is still refused"


def test_a_proxy_on_this_machine_brings_as_many_as_it_has(door: DoorUnderTest) -> None:
    with ExitStack() as held:
        through = [held.enter_context(connect(door, PROXY)) for _ in range(3 * LIMIT)]

        assert {status(one) for one in through} == {b"200"}


def test_a_peer_is_an_address_or_a_network() -> None:
    assert peer_of("192.0.2.7") == peer_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert peer_of("2001:db8:1:2:aaaa::1") == peer_of("2001:db8:1:2:bbbb::9%eth0")
    assert peer_of("2001:db8:1:2::1") != peer_of("2001:db8:1:3::1")
    assert peer_of("::1") == "::1"
