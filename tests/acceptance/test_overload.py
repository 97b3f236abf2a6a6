"""More comes than can be served: who is turned away, how, and that nobody's receipt is broken."""

import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from orderkeep.http.admission import Admission, Bounds, Kind, Why
from orderkeep.http.edge import EdgeLimits
from orderkeep.testing.door import DoorUnderTest
from orderkeep.testing.knocking import Heard, knock
from orderkeep.testing.shop import until

NEVER_ENOUGH = Bounds(
    crowd=0, few=0, slow_turn_s=0.0, long_turn_s=0.0, watched_s=0.0, orders_s=0.0,
    orders_share=0.0, relieved_s=0.0, calm_s=0.5,
)  # fmt: skip
"""Whoever comes within half a second after anybody else is one too many."""

CROWD = 20
WAITING = CROWD
"""None of them is refused, however long they take to come; one more may be."""
SLOW = 300
DEADLINE_S = 120.0


@pytest.fixture
def door(tmp_path: Path) -> Iterator[DoorUnderTest]:
    door = DoorUnderTest(tmp_path, admission=Admission(Bounds(crowd=CROWD)))
    door.start()
    yield door
    door.stop()


@contextmanager
def the_disk_stands_still(door: DoorUnderTest) -> Iterator[threading.Event]:
    """The store's writer is busy with one commit until the event is set."""
    goes_on = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        held = beside.submit(door.write, lambda _: goes_on.wait(DEADLINE_S))
        try:
            yield goes_on
        finally:
            goes_on.set()
            held.result()


def an_order(key: str, ref: str, connection: str = "close", *, kind: str = "orders") -> bytes:
    order = {"client_ref": ref, "items": [{"sku": "CHAIN-45", "quantity": 1}]}
    body = json.dumps({**order, "customer": {"name": "Anna"}}).encode()
    head = (
        f"POST /v1/{kind} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {ref}\r\n"
        f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def a_question(key: str, at: str) -> bytes:
    head = f"GET {at} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode()


def lean(request: bytes) -> bytes:
    """Without the header that leaves a request to the parser."""
    return request.replace(b"Connection: close\r\n", b"").replace(
        b"Connection: keep-alive\r\n", b""
    )


def asked(door: DoorUnderTest, request: bytes, patience_s: float = DEADLINE_S) -> Heard:
    """One answer on a connection that stays open; nothing, if none comes in time."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=patience_s) as connection:
        connection.sendall(request)
        with suppress(TimeoutError):
            return Heard(connection.recv(65536))
    return Heard(b"")


def many_wait(door: DoorUnderTest, key: str, stack: ExitStack) -> list[socket.socket]:
    """A crowd, each waiting for its receipt."""
    waiting = []
    for n in range(WAITING):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
        one.settimeout(DEADLINE_S)
        one.sendall(an_order(key, f"waits-{n}"))
        waiting.append(one)
    return waiting


def until_late(door: DoorUnderTest, key: str) -> None:
    """Return when the orders that wait have waited too long for another to be let in."""
    ends = time.monotonic() + DEADLINE_S
    while asked(door, lean(an_order(key, f"{time.monotonic_ns()}")), 0.1).statuses != [503]:
        assert time.monotonic() < ends


def kept(door: DoorUnderTest) -> int:
    return int(
        door.read(lambda work: work.raw.execute("SELECT count(*) FROM orders").fetchone()[0])
    )


def test_when_the_disk_stands_still_orders_wait_and_then_are_told_to_come_again(
    door: DoorUnderTest,
) -> None:
    key = door.partner("Anna").key
    knock(door.port, an_order(key, "first"))
    with ExitStack() as stack:
        with the_disk_stands_still(door):
            waiting = many_wait(door, key, stack)
            _refused_at_once(door, key)
        receipts = [one.recv(65536) for one in waiting]

    assert [receipt[9:12] for receipt in receipts] == [b"201"] * WAITING
    _served_again(door, key)


def _refused_at_once(door: DoorUnderTest, key: str) -> None:
    until_late(door, key)
    for request in (
        an_order(key, "late"),
        an_order(key, "late", kind="files"),
        a_question(key, "/v1/orders"),
        a_question(key, "/v1/orders/OK-000013"),
    ):
        whole, parsed = asked(door, lean(request)), knock(door.port, request)
        assert whole.statuses == parsed.statuses == [503]
        assert b"\r\nretry-after: " in whole.raw
        assert b"\r\nretry-after: " in parsed.raw
        assert whole.body == parsed.body
        assert b"\r\nconnection: close\r\n" in parsed.raw
        assert b"\r\nconnection: close\r\n" not in whole.raw
    assert knock(door.port, a_question(key, "/healthz")).statuses == [200]
    assert asked(door, lean(a_question(key, "/healthz"))).statuses == [200]


def _served_again(door: DoorUnderTest, key: str) -> None:
    again = knock(door.port, an_order(key, "late"))
    assert again.statuses == [201]
    assert b"idempotency-replayed" not in again.raw, "a refused order must not have been kept"
    assert knock(door.port, a_question(key, "/v1/orders")).statuses == [200]
    shown = knock(door.port, a_question(key, "/v1/orders?client_ref=waits-0"))
    assert len(json.loads(shown.body)["items"]) == 1


def test_a_refused_connection_serves_the_next_request(door: DoorUnderTest) -> None:
    key = door.partner("Boris").key
    knock(door.port, an_order(key, "first"))
    with ExitStack() as stack:
        stays = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
        stays.settimeout(DEADLINE_S)
        with the_disk_stands_still(door):
            waiting = many_wait(door, key, stack)
            until_late(door, key)
            stays.sendall(lean(an_order(key, "again")))
            refused = stays.recv(65536)
        waiting[-1].recv(65536)
        stays.sendall(lean(an_order(key, "again")))
        receipt = stays.recv(65536)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert receipt.startswith(b"HTTP/1.1 201 ")


def _slow_ones(door: DoorUnderTest, key: str) -> Iterator[bytes]:
    """A head, a body and a reader that take for ever, in turn."""
    whole, lists = an_order(key, "slow"), lean(a_question(key, "/v1/orders"))
    while True:
        yield whole[:30]
        yield whole[:-10]
        yield lists * 10


def _heard_beside_the_slow(door: DoorUnderTest, orders: int) -> list[list[int]]:
    """What each of so many orders is answered while hundreds take for ever."""
    key = door.partner("Clara").key
    with ExitStack() as stack:
        for _, part in zip(range(SLOW), _slow_ones(door, key), strict=False):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            slow.sendall(part)
        return [knock(door.port, an_order(key, f"C-{n}")).statuses for n in range(orders)]


def test_orders_are_taken_beside_hundreds_who_take_for_ever(tmp_path: Path) -> None:
    door = DoorUnderTest(tmp_path)
    door.start()
    try:
        assert _heard_beside_the_slow(door, 50) == [[201]] * 50
        assert kept(door) == 50
    finally:
        door.stop()


def test_orders_are_taken_where_everybody_else_who_fits_in_takes_for_ever(tmp_path: Path) -> None:
    door = DoorUnderTest(tmp_path, EdgeLimits(connections=SLOW // 4))
    door.start()
    try:
        assert _heard_beside_the_slow(door, 10) == [[201]] * 10
    finally:
        door.stop()


@pytest.fixture
def shedding(tmp_path: Path) -> Iterator[tuple[DoorUnderTest, Admission]]:
    """A door that has far too much to do, and a process that says no for it."""
    admission = Admission(NEVER_ENOUGH)
    door = DoorUnderTest(tmp_path, admission=admission, sheds=True)
    door.start()
    yield door, admission
    door.stop()


def test_another_process_says_no_and_gives_back_who_comes_when_it_was_told_to(
    shedding: tuple[DoorUnderTest, Admission],
) -> None:
    door, admission = shedding
    key = door.partner("Dora").key
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE_S) as stays:
        _until_shed(stays, admission, key)
        well = _told(stays, lean(a_question(key, "/healthz")))
        refused = _until_shed(stays, admission, key)
        receipt = _until_kept(stays, refused)
        half = an_order(key, "in two parts")[:40]
        _until_shed(stays, admission, key)
        stays.sendall(half)
        parted = _told(stays, an_order(key, "in two parts")[40:])

    assert well.startswith(b"HTTP/1.1 200 ")
    assert b"idempotency-replayed" not in receipt, "a refused order must not have been kept"
    assert parted.startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 503 "))


def test_whoever_says_no_ends_with_its_door_and_nobody_is_left_without_an_answer(
    shedding: tuple[DoorUnderTest, Admission],
) -> None:
    door, admission = shedding
    key = door.partner("Eva").key
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE_S) as stays:
        _until_shed(stays, admission, key)
        [pid] = _children()
        door.stop()
        stays.settimeout(DEADLINE_S)
        said = stays.recv(65536)

    assert said == b""
    until(lambda: pid not in _children(), "it outlives its door")


def _children() -> list[int]:
    """Processes of ours that say no."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for one in tasks for pid in _read(one).split()]
    return [pid for pid in pids if b"orderkeep.http.shedder" in _read(Path(f"/proc/{pid}/cmdline"))]


def _read(path: Path) -> bytes:
    """What the kernel says of a process or thread; nothing, if it has just ended."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _told(stays: socket.socket, request: bytes) -> bytes:
    stays.sendall(request)
    return stays.recv(65536)


def _until_shed(stays: socket.socket, admission: Admission, key: str) -> bytes:
    """Bring orders until the other process has refused some; returns the last."""
    ends, before = time.monotonic() + DEADLINE_S, admission.counts[Kind.ORDER, Why.SHED]
    while True:
        order = lean(an_order(key, f"shed-{time.monotonic_ns()}"))
        refused = _told(stays, order).startswith(b"HTTP/1.1 503 ")
        if refused and admission.counts[Kind.ORDER, Why.SHED] >= before + 3:
            return order
        assert time.monotonic() < ends


def _until_kept(stays: socket.socket, order: bytes) -> bytes:
    """Bring it as often as one is told to."""
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        said = _told(stays, order)
        if said.startswith(b"HTTP/1.1 201 "):
            return said
        wait_s = int(said.partition(b"retry-after: ")[2].partition(b"\r\n")[0])
        assert select.select([stays], [], [], wait_s)[0] == [], "nobody is hung up on meanwhile"
    raise AssertionError("it is never its turn")
