"""Found by attacking the running door."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.testing.door import DoorUnderTest

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
    with httpx.Client(base_url=f"http://127.0.0.1:{door.port}", headers=headers) as client:
        refused = client.post("/v1/files?name=ring.stl", content=b"x" * 5_000_000)
        kept = client.post("/v1/orders", json=BODY, headers={"idempotency-key": "key-1"})

    assert (refused.status_code, refused.headers["connection"]) == (413, "close")
    assert kept.status_code == 201


def test_a_whole_request_leaves_the_connection_open(door: DoorUnderTest) -> None:
    key = door.partner("Anna").key
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{door.port}", headers=headers) as client:
        kept = client.post("/v1/orders", json=BODY, headers={"idempotency-key": "key-1"})

    assert kept.status_code == 201
    assert "connection" not in kept.headers
