"""The promises of the door, kept over a real socket: once, for ever, and only to its owner."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from orderkeep.access.keys import Quota
from orderkeep.intake.checks import Catalogue
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import OrderNo
from orderkeep.kernel.money import Money
from orderkeep.orders.commands import PlaceHold, RecordPrice, StartPricing
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import PriceLine
from orderkeep.testing.door import CATALOGUE, DoorUnderTest, Keyed

ENGINE = Cause(Actor(ActorKind.ENGINE, "engine"), "price", "quoting", "0" * 32)
SELLER = Cause(Actor(ActorKind.PERSON, "sofia", "seller"), "hold", "office", "0" * 32)


@pytest.fixture
def anna(door: DoorUnderTest, request: pytest.FixtureRequest) -> Iterator["Client"]:
    with Client(door, door.partner(f"Anna {request.node.name}")) as client:
        yield client


@pytest.fixture
def boris(door: DoorUnderTest, request: pytest.FixtureRequest) -> Iterator["Client"]:
    with Client(door, door.partner(f"Boris {request.node.name}")) as client:
        yield client


class Client(httpx.Client):
    """A partner's HTTP client."""

    def __init__(self, door: DoorUnderTest, keyed: Keyed) -> None:
        headers = {"authorization": f"Bearer {keyed.key}"}
        super().__init__(base_url=f"http://127.0.0.1:{door.port}", headers=headers, timeout=60)
        self.keyed = keyed

    def submit(self, key: str, body: dict[str, Any]) -> httpx.Response:
        return self.post("/v1/orders", json=body, headers={"idempotency-key": key})

    def upload(self, content: bytes = b"solid ring") -> str:
        answer = self.post("/v1/files", params={"name": "ring.stl"}, content=content)
        return str(answer.json()["file_id"])

    def ordered(self, client_ref: str) -> str:
        return str(self.submit(client_ref, an_order(client_ref)).json()["order_no"])


def an_order(client_ref: str = "R-1", **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "client_ref": client_ref,
        "items": [{"sku": "CHAIN-45", "quantity": 1}],
        "customer": {"name": "Анна"},
    }
    return {**body, **changes}


# --- accepted once ------------------------------------------------------------------------------


def test_an_order_is_answered_with_a_receipt_and_can_be_read_at_once(anna: Client) -> None:
    file_id = anna.upload()
    item = {"file_id": file_id, "material": "ag925", "quantity": 2, "engraving": "А & Б"}

    answer = anna.submit("k", an_order(items=[item]))

    receipt = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/orders/{receipt['order_no']}"
    assert (receipt["client_ref"], receipt["stage"]) == ("R-1", "SUBMITTED")
    order = anna.get(answer.headers["location"]).json()
    assert order["positions"][0]["file_id"] == file_id
    assert order["positions"][0]["engraving"] == "А & Б"
    assert order["body_sha256"] == receipt["receipt"]["body_sha256"]
    assert order["promise"] == receipt["promise"]


def test_the_receipt_hashes_the_canonical_body(anna: Client) -> None:
    body = b'{ "items":[{"quantity":1,"sku":"CHAIN-45"}], "note":null,"customer":{"name":"A"},'
    body += b'"client_ref":"C" }'
    canonical = (
        b'{"client_ref":"C","customer":{"name":"A"},"items":[{"quantity":1,"sku":"CHAIN-45"}]}'
    )
    headers = {"idempotency-key": "k", "content-type": "application/json"}

    receipt = anna.post("/v1/orders", content=body, headers=headers).json()["receipt"]

    assert receipt["body_sha256"] == hashlib.sha256(canonical).hexdigest()


def test_the_same_key_and_body_get_the_first_answer_again(anna: Client) -> None:
    first = anna.submit("k", an_order())

    again = anna.submit("k", an_order())

    assert again.status_code == 201
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_another_spelling_of_the_same_body_is_the_same_body(anna: Client) -> None:
    first = anna.submit("k", an_order(note=None))

    again = anna.submit("k", dict(reversed(an_order().items())))

    assert again.content == first.content


def test_the_same_key_with_another_body_is_refused(anna: Client) -> None:
    anna.submit("k", an_order())

    other = anna.submit("k", an_order(note="changed"))

    assert other.status_code == 422
    assert other.json()["type"] == "/problems/key-reused"


def test_the_same_number_and_body_under_another_key_get_the_stored_answer(anna: Client) -> None:
    first = anna.submit("k1", an_order())

    again = anna.submit("k2", an_order())

    assert again.content == first.content
    assert anna.submit("k2", an_order("R-2")).status_code == 422  # The second key is taken too.


def test_the_same_number_with_another_body_names_the_order_it_means(anna: Client) -> None:
    first = anna.submit("k1", an_order()).json()

    other = anna.submit("k2", an_order(note="changed"))

    assert other.status_code == 409
    assert other.json()["type"] == "/problems/client-ref-taken"
    assert other.json()["order_no"] == first["order_no"]


def test_a_refused_submission_leaves_its_key_free(anna: Client) -> None:
    assert anna.submit("k", an_order(items=[])).status_code == 422

    assert anna.submit("k", an_order()).status_code == 201


def test_twenty_twins_at_once_become_one_order(anna: Client) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: anna.submit("k", an_order()), range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(anna.get("/v1/orders").json()["items"]) == 1


def test_twenty_different_bodies_under_one_key_become_one_order(anna: Client) -> None:
    bodies = [an_order(f"R-{n}") for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda body: anna.submit("k", body), bodies))

    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19


def test_keys_and_numbers_of_two_partners_do_not_meet(anna: Client, boris: Client) -> None:
    hers = anna.submit("k", an_order()).json()["order_no"]

    his = boris.submit("k", an_order(note="his own"))

    assert his.status_code == 201
    assert his.json()["order_no"] != hers


def test_a_repetition_is_answered_even_if_it_would_be_refused_today(
    door: DoorUnderTest, anna: Client
) -> None:
    first = anna.submit("k", an_order())
    door.catalogue = Catalogue(materials=frozenset(), skus=frozenset())
    door.lead_time = timedelta(days=3)

    try:
        by_key, by_number = anna.submit("k", an_order()), anna.submit("k2", an_order())
        fresh = anna.submit("k3", an_order("R-2"))
    finally:
        door.catalogue, door.lead_time = CATALOGUE, timedelta(days=21)

    assert (by_key.content, by_number.content) == (first.content, first.content)
    assert fresh.json()["errors"] == [
        {"pointer": "/items/0/sku", "code": "unknown-sku", "message": "is not in the catalogue"}
    ]


def test_every_fault_of_a_submission_is_named(anna: Client) -> None:
    item = {"file_id": "none", "material": "wood", "quantity": 1}
    customer = {"name": "A", "email": "anna.example", "phone": "none at all"}
    body = an_order(items=[{"quantity": 1}, item], customer=customer, promise_by="2020-01-01")

    faults = anna.submit("k", body).json()["errors"]

    assert {(fault["pointer"], fault["code"]) for fault in faults} == {
        ("/items/0", "file-or-sku"),
        ("/items/1/file_id", "unknown-file"),
        ("/items/1/material", "unknown-material"),
        ("/customer/email", "format"),
        ("/customer/phone", "format"),
        ("/promise_by", "past"),
    }


def test_faults_of_shape_and_of_meaning_are_named_together(anna: Client) -> None:
    items = [{"quantity": 0, "price": 1, "sku": "CHAIN-45"}, {"quantity": 1, "sku": "none"}]
    body = an_order("", items=items, customer={"email": 5})

    faults = anna.submit("k", body).json()["errors"]

    assert {(fault["pointer"], fault["code"]) for fault in faults} == {
        ("/client_ref", "too-short"),
        ("/items/0/quantity", "too-small"),
        ("/items/0/price", "unknown-field"),
        ("/items/1/sku", "unknown-sku"),
        ("/customer/email", "type"),
        ("/customer/name", "required"),
    }


def test_a_wish_for_a_date_is_kept_as_the_end_of_that_day(anna: Client) -> None:
    receipt = anna.submit("k", an_order(promise_by="2031-02-14")).json()

    assert receipt["promise"]["by"] == "2031-02-14T23:59:59Z"


def test_an_address_may_be_a_text_or_parts(anna: Client) -> None:
    text = anna.submit("k1", an_order("R-1", delivery_address="Москва,\nТверская, 1"))
    parts = anna.submit("k2", an_order("R-2", delivery_address={"city": "Москва", "zip": "1"}))

    assert (text.status_code, parts.status_code) == (201, 201)


# --- one's own only -----------------------------------------------------------------------------


def test_what_is_another_partners_is_as_unknown_as_none(anna: Client, boris: Client) -> None:
    no, file_id = anna.ordered("R-1"), anna.upload()
    asked = [
        ("GET", f"/v1/orders/{no}", "/v1/orders/OK-999990", None),
        ("GET", f"/v1/orders/{no}/events", "/v1/orders/OK-999990/events", None),
        ("POST", f"/v1/orders/{no}/cancel", "/v1/orders/x/cancel", {"reason": "mine"}),
        ("POST", f"/v1/orders/{no}/accept-price", "/v1/orders/x/accept-price", {}),
        ("GET", f"/v1/files/{file_id}", "/v1/files/none", None),
    ]
    for method, foreign, unknown, body in asked:
        his = boris.request(method, foreign, json=body)
        nobodys = boris.request(method, unknown, json=body)

        assert his.status_code == 404
        assert his.content == nobodys.content
    item = {"file_id": file_id, "material": "ag925", "quantity": 1}
    assert boris.submit("k", an_order(items=[item])).json()["errors"][0]["code"] == "unknown-file"
    assert boris.get("/v1/orders").json() == {"items": [], "next": None}
    assert boris.get("/v1/orders?client_ref=R-1").json() == {"items": [], "next": None}
    assert boris.get("/v1/events").json() == {"items": [], "next": None}
    assert anna.get(f"/v1/orders/{no}").json()["stage"] == "SUBMITTED"


def test_a_revoked_key_dies_within_seconds(
    door: DoorUnderTest, anna: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anna.get("/v1/limits").status_code == 200
    door.write(lambda work: work.access.revoke_key(anna.keyed.key_id, SystemClock().now()))

    monkeypatch.setattr("time.monotonic", _later(timedelta(seconds=6)))

    assert anna.get("/v1/limits").status_code == 401


def test_quotas_count_by_key_and_tell_how_much_is_left(door: DoorUnderTest, anna: Client) -> None:
    poor = door.key(anna.keyed.partner_id, Quota(rate=5, per_seconds=3600), SystemClock().now())
    with Client(door, poor) as client:
        answers = [client.get("/v1/events") for _ in range(7)]
        limits = client.get("/v1/limits")

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert [answer.headers["ratelimit-remaining"] for answer in answers[:5]] == list("43210")
    assert answers[0].headers["ratelimit-policy"] == '"key";q=5;w=3600'
    assert 0 < int(answers[5].headers["retry-after"]) <= 720
    assert answers[5].json()["type"] == "/problems/too-many-requests"
    assert limits.json()["remaining"] == 0
    assert anna.get("/v1/events").status_code == 200  # Another key, another quota.


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip"]
)
def test_a_quota_cannot_be_talked_away(door: DoorUnderTest, anna: Client, header: str) -> None:
    poor = door.key(anna.keyed.partner_id, Quota(rate=1, per_seconds=3600), SystemClock().now())
    with Client(door, poor) as client:
        answers = [client.get("/v1/events", headers={header: f"10.0.0.{n}"}) for n in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 429]


# --- following an order -------------------------------------------------------------------------


def test_a_price_can_be_read_and_agreed_to(door: DoorUnderTest, anna: Client) -> None:
    no = anna.ordered("R-1")
    priced(door, no, "129.50")

    order = anna.post(f"/v1/orders/{no}/accept-price", json={"version": 1}).json()

    assert order["stage"] == "PRICE_CALCULATED"
    assert order["price"]["total"] == {"amount": "129.50", "currency": "RUB"}
    assert order["price"]["accepted"] == order["price"]["total"]
    assert order["positions"][0]["price"]["total"] == "129.50"
    # Rates, markups and margins are the maker's own business.
    assert set(order["positions"][0]["price"]) == {"unit", "total", "mass_g", "volume_mm3"}
    wrong = anna.post(f"/v1/orders/{no}/accept-price", json={"version": 2})
    assert (wrong.status_code, wrong.json()["type"]) == (409, "/problems/transition-refused")


def test_an_order_can_be_cancelled_and_cancelling_twice_changes_nothing(anna: Client) -> None:
    no = anna.ordered("R-1")

    first = anna.post(f"/v1/orders/{no}/cancel", json={"reason": "changed my mind"})
    again = anna.post(f"/v1/orders/{no}/cancel", json={"reason": "once more"})

    assert (first.json()["stage"], first.json()["cancelled_because"]) == (
        "CANCELLED",
        "changed my mind",
    )
    assert again.json() == first.json()


def test_history_and_feed_tell_what_happened_and_nothing_of_the_house(
    door: DoorUnderTest, anna: Client
) -> None:
    no = anna.ordered("R-1")
    priced(door, no, "10")
    until = SystemClock().now() + timedelta(days=1)
    hold = PlaceHold(reason="Sergei is ill", owner="head", until=until, stops_clock=False)
    door.call(door.master.handle(OrderNo(no), hold, SELLER))

    steps = anna.get(f"/v1/orders/{no}/events").json()["items"]
    feed = anna.get("/v1/events").json()["items"]

    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    assert [event["type"] for event in feed] == [
        "order.submitted.v1",
        "order.priced.v1",
        "order.held.v1",
    ]
    assert {event["client_ref"] for event in feed} == {"R-1"}
    assert "Sergei" not in anna.get("/v1/events").text
    assert "Sergei" not in anna.get(f"/v1/orders/{no}/events").text
    assert "Sergei" not in anna.get(f"/v1/orders/{no}").text
    assert anna.get(f"/v1/orders/{no}").json()["hold"]["yours"] is False


def test_lists_and_feeds_are_walked_to_their_end_without_gap_or_repeat(
    door: DoorUnderTest, anna: Client, boris: Client
) -> None:
    mine = []
    for n in range(7):
        mine.append(anna.ordered(f"R-{n}"))
        boris.ordered(f"R-{n}")

    assert [item["order_no"] for item in walk(anna, "/v1/orders?limit=3")] == mine
    assert [item["order_no"] for item in walk(anna, "/v1/events?limit=2")] == mine
    assert anna.get("/v1/orders?client_ref=R-4").json()["items"][0]["order_no"] == mine[4]


def test_the_feed_goes_on_behind_the_last_event_handled(anna: Client) -> None:
    anna.ordered("R-1")
    last = anna.get("/v1/events").json()["items"][-1]["id"]
    assert anna.get(f"/v1/events?after={last}").json()["items"] == []

    no = anna.ordered("R-2")

    assert [one["order_no"] for one in anna.get(f"/v1/events?after={last}").json()["items"]] == [no]


def test_the_feed_comes_as_cloud_events_to_whom_asks_for_them(anna: Client) -> None:
    mine = [anna.ordered(f"R-{n}") for n in range(3)]
    headers = {"accept": "application/cloudevents-batch+json"}

    page = anna.get("/v1/events?limit=2", headers=headers)
    rest = anna.get(page.headers["link"].split(">")[0].lstrip("<"), headers=headers)

    assert page.headers["content-type"] == "application/cloudevents-batch+json"
    assert "link" not in rest.headers
    events = page.json() + rest.json()
    assert [one["subject"] for one in events] == mine
    assert [one["id"] for one in events] == [
        one["id"] for one in anna.get("/v1/events").json()["items"]
    ]
    assert {one["specversion"] for one in events} == {"1.0"}
    assert {one["type"] for one in events} == {"order.submitted.v1"}
    assert [one["data"]["client_ref"] for one in events] == ["R-0", "R-1", "R-2"]


# --- files --------------------------------------------------------------------------------------


def test_a_file_is_kept_byte_for_byte_under_its_hash(door: DoorUnderTest, anna: Client) -> None:
    content = bytes(range(256)) * 10_000
    sha256 = hashlib.sha256(content).hexdigest()

    answer = anna.post(
        "/v1/files?name=кольцо.stl", content=content, headers={"x-content-sha256": sha256}
    ).json()

    assert answer["sha256"] == sha256
    assert (answer["size_bytes"], answer["name"]) == (len(content), "кольцо.stl")
    kept = door.files_folder / "sha256" / sha256[:2] / sha256
    assert kept.read_bytes() == content


def test_the_same_bytes_twice_are_two_files_of_one_content(
    door: DoorUnderTest, anna: Client, boris: Client
) -> None:
    assert anna.upload(b"the same") != boris.upload(b"the same")


# --- pages and readiness ------------------------------------------------------------------------


def test_problem_pages_speak_russian_and_english(anna: Client) -> None:
    told = anna.submit("k", {}).json()["type"]

    russian = anna.get(told, headers={"accept-language": "ru-RU,ru;q=0.9,en;q=0.5"})
    english = anna.get(told, headers={"accept-language": "fr,en;q=0.5"})

    assert "Понятно" in russian.text
    assert "Understood" in english.text


def priced(door: DoorUnderTest, no: str, total: str) -> None:
    price = RecordPrice(
        version=1,
        total=Money(Decimal(total), "RUB"),
        lines=[PriceLine(position=1, unit=total, total=total)],
        book_version="example",
    )
    for command in (StartPricing(1), price):
        door.call(door.master.handle(OrderNo(no), command, ENGINE))


def walk(client: Client, address: str) -> list[Any]:
    items: list[Any] = []
    after = ""
    while True:
        page = client.get(f"{address}&after={after}").json()
        items += page["items"]
        if page["next"] is None:
            return items
        after = page["next"]


def _later(by: timedelta) -> Any:
    now = time.monotonic
    return lambda: now() + by.total_seconds()
