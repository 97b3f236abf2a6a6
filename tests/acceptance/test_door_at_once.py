"""Orders that come whole in one read are answered without a task: nobody may be able to tell."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orderkeep.access.keys import Quota
from orderkeep.http.at_once import WholeRequest
from orderkeep.testing.door import DoorUnderTest
from orderkeep.testing.knocking import Heard, knock
from orderkeep.testing.shop import until

AT_ONCE, ORDINARY = "/v1/orders", "/v1/orders/"
"""The same address; only the first is answered at once."""

JSON = "application/json"
# What differs between any two answers, however they came about.
_ITS_OWN = re.compile(
    rb'OK-\d+|[0-9a-f]{32,64}|\d{4}-\d\d-\d\dT[0-9:.]+Z|(?<="client_ref":")[^"]+'
    rb"|(?<=\r\ndate: )[^\r]+|(?<=\r\nratelimit: )[^\r]+|(?<=-remaining: )\d+|(?<=-reset: )\d+"
)


@pytest.fixture
def taken(door: DoorUnderTest) -> Iterator[list[bool]]:
    """What became of each request that was offered to be answered at once."""
    offered, before = [], door.app.at_once

    def watched(take: Callable[[WholeRequest], bool]) -> Callable[[WholeRequest], bool]:
        def taking(request: WholeRequest) -> bool:
            offered.append(take(request))
            return offered[-1]

        return taking

    door.app.at_once = {at: watched(take) for at, take in before.items()}
    yield offered
    door.app.at_once = before


def order(client_ref: str, **changes: Any) -> dict[str, Any]:
    body = {"client_ref": client_ref, "items": [{"sku": "CHAIN-45", "quantity": 1}]}
    return {**body, "customer": {"name": "Анна"}, **changes}


def a_request(
    key: str,
    body: dict[str, Any],
    *,
    at: str = AT_ONCE,
    name: str | None = None,
    kind: str = JSON,
    connection: str = "close",
    version: str = "1.1",
) -> bytes:
    encoded = json.dumps(body).encode()
    head = (
        f"POST {at} HTTP/{version}\r\nHost: door\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nIdempotency-Key: {name or ''}{body['client_ref']}\r\n"
        f"Connection: {connection}\r\nContent-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def alike(heard: Heard) -> bytes:
    return _ITS_OWN.sub(b"~", heard.raw)


Scenes = Callable[[str, str], list[bytes]]
"""The requests of a scene, by key and address; the last one's answer is compared."""


def _scenes() -> dict[str, Scenes]:
    def scene(first: dict[str, Any], *more: dict[str, Any], **told: Any) -> Scenes:
        def requests(key: str, at: str) -> list[bytes]:
            ref = "R-1" if at == AT_ONCE else "R-2"
            return [
                a_request(
                    body=order(ref, **one["body"]), at=at, **one["head"], **{"key": key, **told}
                )
                for one in (first, *more)
            ]

        return requests

    def told(name: str | None = None, **body: Any) -> dict[str, Any]:
        return {"head": {"name": name} if name else {}, "body": body}

    unknown_file = [{"file_id": "f" * 26, "material": "brass", "quantity": 1}]
    return {
        "new": scene(told()),
        "again": scene(told(), told()),
        "again with another key": scene(told(), told(name="another")),
        "key used for another body": scene(told(), told(note="changed")),
        "number used for another body": scene(told(), told(name="other", note="changed")),
        "no such file": scene(told(items=unknown_file)),
        "a field too many": scene(told(surprise=1)),
        "not of today": scene(told(promise_by="2001-01-01")),
        "an escape in the body": scene(told(note='a "quoted" word')),
        "too large": scene(told(note="x" * 300_000)),
        "no key of idempotency": scene(told(name=" ")),
        "no key of theirs": scene(told(), key="ok_nobodys"),
        "not said to be json": scene(told(), kind="text/plain"),
        "the last of an old client": scene(told(), version="1.0"),
    }


@pytest.mark.parametrize("name", _scenes())
def test_both_ways_answer_alike(door: DoorUnderTest, name: str) -> None:
    key = door.partner(f"Anna {name}").key
    answers = {}
    for at in (AT_ONCE, ORDINARY):
        for request in _scenes()[name](key, at):
            answers[at] = knock(door.port, request)

    assert len(answers[AT_ONCE].statuses) == 1
    assert alike(answers[AT_ONCE]) == alike(answers[ORDINARY])


@pytest.mark.parametrize(
    "body, answers",
    [
        ({}, (201, True)),
        ({"note": 'a "quoted" word'}, (201, True)),
        ({"surprise": 1}, (422, False)),
    ],
    ids=["plain", "with escapes", "faulty"],
)
def test_what_is_plain_is_taken_and_what_is_not_is_left(
    door: DoorUnderTest, taken: list[bool], body: dict[str, Any], answers: tuple[int, bool]
) -> None:
    key = door.partner(f"Boris {body}").key

    # The first asks the store whose key it is, the second knows.
    knock(door.port, a_request(key, order("B-1", **body)))
    heard = knock(door.port, a_request(key, order("B-2", **body)))

    status, at_once = answers
    assert heard.statuses == [status]
    assert taken == [False, at_once]


def test_a_body_that_comes_later_is_waited_for(door: DoorUnderTest, taken: list[bool]) -> None:
    key = door.partner("Clara").key
    knock(door.port, a_request(key, order("C-1")))
    request = a_request(key, order("C-2"))

    with socket.create_connection(("127.0.0.1", door.port), timeout=60) as connection:
        connection.sendall(request[:-10])
        time.sleep(0.05)  # so that it is read in two; the answer is the same if it is not
        connection.sendall(request[-10:])
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert taken in ([False], [False, True])


def test_orders_behind_each_other_are_answered_in_their_order(
    door: DoorUnderTest, taken: list[bool]
) -> None:
    key = door.partner("Dora").key
    knock(door.port, a_request(key, order("D-0")))
    rest = [a_request(key, order(f"D-{n}"), connection="keep-alive") for n in range(1, 6)]

    heard = knock(door.port, b"".join([*rest, a_request(key, order("D-6"))]))

    assert re.findall(rb'"client_ref":"D-(\d)"', heard.raw) == [b"%d" % n for n in range(1, 7)]
    assert taken == [False, True]


def test_a_quota_counts_each_order_once_on_either_way(door: DoorUnderTest) -> None:
    keyed = door.partner("Emil", Quota(rate=6, per_seconds=3600))

    statuses = [
        knock(door.port, a_request(keyed.key, order(f"E-{n}", **faulty))).statuses
        for n, faulty in enumerate([{}, {}, {"surprise": 1}, {}, {"surprise": 1}, {}, {}])
    ]

    assert statuses == [[201], [201], [422], [201], [422], [201], [429]]


def test_a_client_that_has_gone_takes_nobodys_answer_with_it(
    door: DoorUnderTest, taken: list[bool]
) -> None:
    key = door.partner("Fritz").key
    knock(door.port, a_request(key, order("F-0")))
    with socket.create_connection(("127.0.0.1", door.port), timeout=60) as stays:
        _both_wait_for_the_same_commit(door, key, stays, taken)
        answer = stays.recv(65536)

    again = knock(door.port, a_request(key, order("F-gone")))

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"idempotency-replayed: true" in again.raw


def _both_wait_for_the_same_commit(
    door: DoorUnderTest, key: str, stays: socket.socket, taken: list[bool]
) -> None:
    """The one goes before its order is on disk, the other stays."""
    begun, gone = threading.Event(), threading.Event()

    def stand_still(_: object) -> None:
        begun.set()
        gone.wait(60)

    with ThreadPoolExecutor(1) as beside:
        busy = beside.submit(door.write, stand_still)
        assert begun.wait(60)
        before = len(taken)
        goes = socket.create_connection(("127.0.0.1", door.port), timeout=60)
        goes.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        goes.sendall(a_request(key, order("F-gone"), connection="keep-alive"))
        stays.sendall(a_request(key, order("F-stays"), connection="keep-alive"))
        until(lambda: len(taken) == before + 2, "the door has not read them")
        goes.close()  # with a reset
        time.sleep(0.1)  # so that it is seen before the commit; the answer is the same if not
        gone.set()
        busy.result()
