"""Found by attacking the running door."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.testing.door import DoorUnderTest
from orderkeep.testing.knocking import knock

BODY = {
    "client_ref": "ref-1",
    "items": [{"sku": "CHAIN-45", "quantity": 1}],
    "customer": {"name": "Anna"},
}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[DoorUnderTest]:
    door = DoorUnderTest(tmp_path)
    door.start()
    yield door
    door.stop()


def test_a_refusal_before_the_whole_body_says_that_the_connection_ends(door: DoorUnderTest) -> None:
    """It did not: the client sent its next order on the same connection, and got no answer."""
    key = door.partner("Anna").key
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{door.port}", headers=headers, timeout=60
    ) as client:
        refused = client.post("/v1/files?name=ring.stl", content=b"x" * 5_000_000)
        kept = client.post("/v1/orders", json=BODY, headers={"idempotency-key": "key-1"})

    assert (refused.status_code, refused.headers["connection"]) == (413, "close")
    assert kept.status_code == 201


def test_a_whole_request_leaves_the_connection_open(door: DoorUnderTest) -> None:
    key = door.partner("Anna").key
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{door.port}", headers=headers, timeout=60
    ) as client:
        kept = client.post("/v1/orders", json=BODY, headers={"idempotency-key": "key-1"})

    assert kept.status_code == 201
    assert "connection" not in kept.headers


def test_a_head_gets_no_body_that_would_be_read_as_the_next_answer(door: DoorUnderTest) -> None:
    """Answers written as a whole forgot it: the next answer began in the middle of a problem."""
    with httpx.Client(base_url=f"http://127.0.0.1:{door.port}", timeout=60) as client:
        refused = client.head("/healthz")
        next_one = client.get("/healthz")

    assert (refused.status_code, refused.content) == (405, b"")
    assert next_one.status_code == 200


def test_orders_sent_without_waiting_are_answered_in_their_order(door: DoorUnderTest) -> None:
    key = door.partner("Anna").key
    heard = knock(door.port, b"".join(_an_order(key, f"ref-{n}", last=n == 5) for n in range(6)))

    assert heard.statuses == [201] * 6
    assert re.findall(rb'"client_ref":"ref-(\d)"', heard.raw) == [b"%d" % n for n in range(6)]


def _an_order(key: str, ref: str, *, last: bool) -> bytes:
    body = json.dumps({**BODY, "client_ref": ref}).encode()
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {ref}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n"
    )
    return head.encode() + body
