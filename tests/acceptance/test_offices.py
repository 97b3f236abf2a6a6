"""A board shows what other processes did: another office, the door, the bridge."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.testing.crew import Crew
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import DEADLINE_S, OPERATOR, Keys
from orderkeep.testing.shop import Shop, until

Event = tuple[str, Any]


@pytest.fixture
def crew(shared_template: tuple[PostgresServer, str, Keys], tmp_path: Path) -> Iterator[Crew]:
    server, template, keys = shared_template
    url = server.database(template)
    with Crew(tmp_path, keys, url) as started:
        yield started
    server.drop(url)


@contextlib.contextmanager
def watching(crew: Crew) -> Iterator[list[Event]]:
    """What the board of an operator at the newest office is told, as it comes."""
    told: list[Event] = []
    sign_in = {"login": OPERATOR, "password": crew.keys.passwords[OPERATOR]}
    headers = {"X-Requested-With": "orderkeep"}
    with (
        httpx.Client(
            base_url=crew.office, headers=headers, trust_env=False, timeout=DEADLINE_S
        ) as person,
        contextlib.ExitStack() as stack,
    ):
        person.post("/office/v1/session", json=sign_in).raise_for_status()
        answer = stack.enter_context(person.stream("GET", "/office/v1/board/stream"))
        reader = threading.Thread(target=_read, args=(answer, told))
        reader.start()
        try:
            until(lambda: any(kind == "hello" for kind, _ in told), "the stream does not begin")
            yield told
        finally:
            answer.close()
            reader.join(DEADLINE_S)


def _read(answer: httpx.Response, told: list[Event]) -> None:
    kind = ""
    try:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told.append((kind, json.loads(line.removeprefix("data: "))))
    except (httpx.TransportError, httpx.StreamError, RuntimeError, ValueError):
        return  # Closed while it was read.


def rows(told: list[Event], order_no: str) -> list[Any]:
    return [data for kind, data in told if kind == "row" and data["order_no"] == order_no]


def test_an_office_shows_at_once_what_other_processes_did(crew: Crew) -> None:
    crew.begin(crew.add("office"))
    with watching(crew) as told:
        crew.begin(crew.add("door", "relay", "quoter", "bridge"), other := crew.add("office"))
        crew.office = f"http://127.0.0.1:{other.ports['office']}"
        shop = Shop(crew)
        shop.wanted = 1

        until(shop.at_rest, "the order does not come to the floor")
        [no] = shop.receipts.values()
        until(lambda: bool(_approved(told, no)), "the first office does not show what they did")
        until(lambda: claimed(crew, no), "it cannot be claimed at the other office")

        until(lambda: OPERATOR in _claims(told, no), "nor what was done at the other office")


def claimed(crew: Crew, no: str) -> bool:
    """Claim it as it is now; whoever wrote meanwhile makes it a question of the next try."""
    version = crew.act(OPERATOR, f"/orders/{no}", method="GET").json()["order"]["version"]
    return crew.act(OPERATOR, f"/orders/{no}/claim", {"version": version}).status_code == 200


def _approved(told: list[Event], no: str) -> list[Any]:
    return [row for row in rows(told, no) if row["stage"] == "MANUFACTURING_APPROVED"]


def _claims(told: list[Event], no: str) -> list[str]:
    return [row["claim"]["operator"] for row in rows(told, no) if row.get("claim")]
