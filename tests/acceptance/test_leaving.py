"""A process that is told to end answers whoever it has let in, and says it is the last time."""

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from orderkeep.http.edge import EdgeLimits
from orderkeep.http.sockets import handed, held, listen
from orderkeep.kernel.errors import Invalid
from orderkeep.testing.door import DoorUnderTest, Keyed
from orderkeep.testing.product import Product, prepare
from orderkeep.testing.shop import until

FIRST = 900  # Where systemd has 3, which is in use here.
PATIENT = EdgeLimits(farewell_s=30.0, arrival_s=30.0)
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b'{"client_ref":"r","items":[{"sku":"CHAIN-45","quantity":1}],"customer":{"name":"A"}}'


@contextmanager
def a_door(folder: Path, limits: EdgeLimits) -> Iterator[DoorUnderTest]:
    door = DoorUnderTest(folder, limits, drain_s=30)
    door.start()
    try:
        yield door
    finally:
        door.stop()


def connect(door: DoorUnderTest) -> socket.socket:
    return socket.create_connection(("127.0.0.1", door.port), timeout=60)


def tell_to_leave(door: DoorUnderTest) -> threading.Thread:
    """Return once it takes no more connections; the thread ends when all are gone."""
    with connect(door) as last:  # Once it is answered, whoever came before has been let in.
        last.sendall(GET)
        assert last.recv(4096)
    leaving = threading.Thread(target=door.stop)
    leaving.start()
    until(lambda: refuses(door), "it goes on accepting")
    return leaving


def refuses(door: DoorUnderTest) -> bool:
    try:
        connect(door).close()
    except ConnectionRefusedError:
        return True
    return False


def read(connection: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def order(keyed: Keyed) -> bytes:
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {keyed.key}\r\n"
        f"Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
    )
    return head.encode() + b"\r\n\r\n"


def test_who_was_let_in_is_answered_and_told_that_it_was_the_last_time(tmp_path: Path) -> None:
    with a_door(tmp_path, PATIENT) as door, connect(door) as idle, connect(door) as fresh:
        keyed = door.partner("p")
        idle.sendall(GET)
        assert b"connection: close" not in idle.recv(4096)
        with connect(door) as sending:
            sending.sendall(order(keyed) + BODY[:20])
            leaving = tell_to_leave(door)

            for connection in (idle, fresh):
                connection.sendall(GET)
            sending.sendall(BODY[20:])

            for connection in (idle, fresh):
                answer = read(connection)
                assert answer.startswith(b"HTTP/1.1 200 ")
                assert b"connection: close" in answer
            receipt = read(sending)
            assert receipt.startswith(b"HTTP/1.1 201 ")
            assert b"connection: close" in receipt
            leaving.join(60)
            assert not leaving.is_alive()


def test_who_says_nothing_does_not_hold_anybody_up(tmp_path: Path) -> None:
    limits = EdgeLimits(arrival_s=0.0)
    with a_door(tmp_path, limits) as door, connect(door) as idle, connect(door) as fresh:
        idle.sendall(GET)
        idle.recv(4096)

        leaving = tell_to_leave(door)

        assert read(idle) == read(fresh) == b""
        leaving.join(60)
        assert not leaving.is_alive()


def test_a_process_says_that_it_leaves_before_it_takes_no_more(tmp_path: Path) -> None:
    with Product(tmp_path, prepare(tmp_path), leave_notice="20s") as product:
        assert product.start()
        door, office = (f"{one}/readyz" for one in (product.door, product.office))
        assert [look(one) for one in (door, office)] == [200, 200]

        product.signal(signal.SIGTERM)

        until(lambda: look(door) == 503, "the door calls itself ready")
        assert look(office) == 503
        assert look(f"{product.door}/healthz") == 200
        assert product.wait() == 0


def test_sockets_belong_to_the_roles_they_are_named_after() -> None:
    with handed_over("door", "office") as environment:
        found = handed(environment, os.getpid(), ["door", "office"], FIRST)

        assert list(found) == ["door", "office"]
        assert found["door"].getsockname() != found["office"].getsockname()
        assert not environment  # No child of ours takes them for its own.
        for one in found.values():
            one.close()


@pytest.mark.parametrize(
    "names, roles",
    [(["relay"], ["door", "office"]), (["door", "door"], ["door"]), (["x", "y"], ["door"])],
)
def test_a_socket_that_is_nobodys_is_refused(names: list[str], roles: list[str]) -> None:
    with handed_over(*names) as environment, pytest.raises(Invalid, match="is handed over for"):
        handed(environment, os.getpid(), roles, FIRST)


def test_sockets_for_another_process_are_not_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}

    assert handed(environment, os.getpid(), ["door"]) == {}


def test_what_does_not_listen_is_refused() -> None:
    with socket.socket() as bound, pytest.raises(Invalid, match="no socket that listens"):
        held(os.dup(bound.fileno()))


@contextmanager
def handed_over(*names: str) -> Iterator[dict[str, str]]:
    """Sockets one after the other, as systemd hands them over, and what it says of them."""
    for place in range(FIRST, FIRST + len(names)):
        with listen("127.0.0.1", 0) as bound:
            bound.listen()
            assert fcntl.fcntl(bound, fcntl.F_DUPFD_CLOEXEC, place) == place
    yield {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(names)),
        "LISTEN_FDNAMES": ":".join(names),
    }
    for place in range(FIRST, FIRST + len(names)):
        with suppress(OSError):
            os.close(place)


def look(address: str) -> int:
    """The status of a page, asked for on a new connection."""
    return httpx.get(address, trust_env=False, timeout=60).status_code
