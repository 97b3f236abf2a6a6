"""Bad inputs: each refused in the 4xx, never told back, and the door answers the next client."""

import gzip
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.http.edge import EdgeLimits
from orderkeep.testing.door import DoorUnderTest, Keyed
from orderkeep.testing.knocking import knock

MARKER = "zmarkerz"
REFUSED = range(400, 500)
FLOOD_BYTES = 40 * 1024 * 1024
IMPATIENT = EdgeLimits(head_s=1.0, body_grace_s=1.0, linger_s=1.0)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorUnderTest]:
    door = DoorUnderTest(Path(tmp_path_factory.mktemp("door")), IMPATIENT)
    door.start()
    yield door
    door.stop()


@pytest.fixture(scope="module")
def anna(door: DoorUnderTest) -> Keyed:
    return door.partner("Anna")


@pytest.fixture(scope="module")
def client(door: DoorUnderTest, anna: Keyed) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {anna.key}"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{door.port}", headers=headers, timeout=60
    ) as client:
        yield client


def a_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "client_ref": MARKER,
        "items": [{"sku": "CHAIN-45", "quantity": 1}],
        "customer": {"name": MARKER},
    }
    return {**body, **changes}


def an_item(**changes: Any) -> dict[str, Any]:
    return a_body(items=[{"sku": "CHAIN-45", "quantity": 1, **changes}])


def a_customer(**changes: Any) -> dict[str, Any]:
    return a_body(customer={"name": MARKER, **changes})


def text(body: dict[str, Any], **swaps: str) -> bytes:
    """The body as JSON, with marked places swapped for what json.dumps would not write."""
    written = json.dumps(body)
    for mark, raw in swaps.items():
        written = written.replace(f'"{mark}"', raw)
    return written.encode()


# --- JSON ---------------------------------------------------------------------------------------

GOOD = text(a_body())
MALFORMED: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b"   ",
    "not JSON": b"<xml/>",
    "two values": GOOD + GOOD,
    "trailing comma": GOOD[:-1] + b",}",
    "single quotes": GOOD.replace(b'"', b"'"),
    "comment": GOOD + b"// zmarkerz",
    "cut off": GOOD[:-10],
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without mark": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "Latin-1": text(a_body(note="q")).replace(b'"q"', b'"\xe9"'),
    "overlong slash": text(a_body(note="q")).replace(b'"q"', b'"\xc0\xaf"'),
    "surrogate in bytes": text(a_body(note="q")).replace(b'"q"', b'"\xed\xa0\x80"'),
    "raw NUL": text(a_body(note="q")).replace(b'"q"', b'"\x00"'),
    "raw line end": text(a_body(note="q")).replace(b'"q"', b'"\n"'),
    "nested arrays": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "nested and closed": b"[" * 50_000 + b"]" * 50_000,
    "nested in a field": text(a_body(note="q"), q="[" * 40_000 + "]" * 40_000),
    "nested in an unknown field": text(a_body(zz="q"), q="[" * 40_000 + "]" * 40_000),
    "deep by 40": text(a_body(zz="q"), q="[" * 40 + "]" * 40),
    "NaN": text(an_item(quantity="q"), q="NaN"),
    "Infinity": text(an_item(quantity="q"), q="Infinity"),
    "minus Infinity": text(an_item(quantity="q"), q="-Infinity"),
    "1e999": text(an_item(quantity="q"), q="1e999"),
    "-1e999": text(an_item(quantity="q"), q="-1e999"),
    "NaN in an unknown field": text(a_body(zz="q"), q="[NaN]"),
    "5000 digits": text(an_item(quantity="q"), q="9" * 5000),
    "5000 decimals": text(an_item(quantity="q"), q="0." + "9" * 5000),
    "hexadecimal": text(an_item(quantity="q"), q="0x10"),
    "leading zero": text(an_item(quantity="q"), q="01"),
    "plus sign": text(an_item(quantity="q"), q="+1"),
    "lone high surrogate": text(a_body(note="q"), q='"\\ud800"'),
    "lone low surrogate": text(a_body(note="q"), q='"\\udc00x"'),
    "swapped surrogates": text(a_body(note="q"), q='"\\udc00\\ud800"'),
    "surrogate in a name": b'{"\\ud800":1,' + GOOD[1:],
    "escaped NUL": text(a_body(note="q"), q='"a\\u0000b"'),
    "name twice": b'{"client_ref":"zmarkerz",' + GOOD[1:],
    "name twice, escaped": b'{"client\\u005fref":"zmarkerz",' + GOOD[1:],
    "name twice, with blanks": b'{"client_ref" :\n "zmarkerz",' + GOOD[1:],
    "name twice in an item": GOOD.replace(b'"quantity": 1', b'"quantity": 1, "quantity": 2'),
    "name twice in the customer": GOOD.replace(b'{"name"', b'{"name": "x", "name"'),
    "unknown name twice": b'{"zz":1,"zz":2,' + GOOD[1:],
    "bad escape": text(a_body(note="q"), q='"\\x41"'),
    "short escape": text(a_body(note="q"), q='"\\u12"'),
}
INVALID: Mapping[str, Any] = {
    "null": None,
    "array": [],
    "string": MARKER,
    "number": 7,
    "true": True,
    "empty object": {},
    "unknown field": a_body(zmarkerzz=1),
    "own price": a_body(price={"amount": "0.01", "currency": "RUB"}),
    "own stage": a_body(stage="SHIPPED"),
    "own partner": a_body(partner_id="someone"),
    "own order number": a_body(order_no="OK-000013"),
    "100 000 names": {f"zmarkerz{n}": 1 for n in range(8000)},
    "prototype": a_body(__proto__={"admin": True}),
    "no client_ref": {key: value for key, value in a_body().items() if key != "client_ref"},
    "no items": {key: value for key, value in a_body().items() if key != "items"},
    "no customer": {key: value for key, value in a_body().items() if key != "customer"},
    "client_ref null": a_body(client_ref=None),
    "client_ref empty": a_body(client_ref=""),
    "client_ref blank": a_body(client_ref="   "),
    "client_ref number": a_body(client_ref=12),
    "client_ref array": a_body(client_ref=[MARKER]),
    "client_ref too long": a_body(client_ref=MARKER * 40),
    "client_ref with line end": a_body(client_ref=f"{MARKER}\r\nx"),
    "client_ref with escape": a_body(client_ref=f"{MARKER}\x1b[31m"),
    "client_ref with DEL": a_body(client_ref=f"{MARKER}\x7f"),
    "client_ref with C1": a_body(client_ref=f"{MARKER}\x85"),
    "client_ref turned around": a_body(client_ref=f"{MARKER}\u202e"),
    "client_ref with line separator": a_body(client_ref=f"{MARKER}\u2028"),
    "items null": a_body(items=None),
    "items empty": a_body(items=[]),
    "items object": a_body(items={"0": {}}),
    "items of null": a_body(items=[None]),
    "items of arrays": a_body(items=[[]]),
    "51 items": a_body(items=[{"sku": "CHAIN-45", "quantity": 1}] * 51),
    "item empty": a_body(items=[{}]),
    "item of nothing": a_body(items=[{"quantity": 1}]),
    "item of both": an_item(file_id="x", material="ag925"),
    "item with unknown field": an_item(zmarkerzz=1),
    "item with own price": an_item(price="0.01"),
    "quantity 0": an_item(quantity=0),
    "quantity -1": an_item(quantity=-1),
    "quantity 10001": an_item(quantity=10_001),
    "quantity 1e9": an_item(quantity=1_000_000_000),
    "quantity 2^31": an_item(quantity=2**31),
    "quantity 2^63": an_item(quantity=2**63),
    "quantity 2^64": an_item(quantity=2**64),
    "quantity -2^63": an_item(quantity=-(2**63)),
    "quantity 1.5": an_item(quantity=1.5),
    "quantity 1.0": an_item(quantity=1.0),
    "quantity text": an_item(quantity="1"),
    "quantity true": an_item(quantity=True),
    "quantity null": an_item(quantity=None),
    "quantity object": an_item(quantity={"$gt": 0}),
    "unknown sku": an_item(sku=MARKER),
    "sku injection": an_item(sku="' OR 1=1 --"),
    "sku empty": an_item(sku=""),
    "sku number": an_item(sku=45),
    "unknown file": a_body(items=[{"file_id": MARKER, "material": "ag925", "quantity": 1}]),
    "file path": a_body(items=[{"file_id": "../../x", "material": "ag925", "quantity": 1}]),
    "file without material": a_body(items=[{"file_id": MARKER, "quantity": 1}]),
    "unknown material": an_item(material=MARKER),
    "material in capitals": an_item(material="AG925"),
    "material template": an_item(material="{{7*7}}"),
    "engraving empty": an_item(engraving=""),
    "engraving too long": an_item(engraving=MARKER * 20),
    "engraving of two lines": an_item(engraving=f"{MARKER}\n{MARKER}"),
    "engraving number": an_item(engraving=5),
    "customer null": a_body(customer=None),
    "customer text": a_body(customer=MARKER),
    "customer array": a_body(customer=[]),
    "customer empty": a_body(customer={}),
    "customer unknown field": a_customer(zmarkerzz=1),
    "name empty": a_customer(name=""),
    "name blank": a_customer(name=" \u00a0 "),
    "name number": a_customer(name=1),
    "name too long": a_customer(name=MARKER * 30),
    "name with header": a_customer(name=f"{MARKER}\r\nBcc: x@example.com"),
    "name with bell": a_customer(name=f"{MARKER}\x07"),
    "name with tab": a_customer(name=f"{MARKER}\t"),
    "email without at": a_customer(email=MARKER),
    "email with two at": a_customer(email="zmarkerz@@example.com"),
    "email without dot": a_customer(email="zmarkerz@example"),
    "email with blank": a_customer(email="zmarkerz @example.com"),
    "email with header": a_customer(email="zmarkerz@example.com\nBcc: y@example.com"),
    "email too long": a_customer(email="z" * 250 + "@example.com"),
    "email empty": a_customer(email=""),
    "email array": a_customer(email=["zmarkerz@example.com"]),
    "phone letters": a_customer(phone=MARKER),
    "phone short": a_customer(phone="1"),
    "phone without digits": a_customer(phone="(((---)))"),
    "phone in other digits": a_customer(phone="٠١٢٣٤٥٦٧"),
    "phone too long": a_customer(phone="1" * 41),
    "address number": a_body(delivery_address=5),
    "address array": a_body(delivery_address=[MARKER]),
    "address empty": a_body(delivery_address=""),
    "address too long": a_body(delivery_address=MARKER * 100),
    "address object empty": a_body(delivery_address={}),
    "address of numbers": a_body(delivery_address={"city": 5}),
    "address nested": a_body(delivery_address={"city": {"x": MARKER}}),
    "address of 21 parts": a_body(delivery_address={f"p{n}": "x" for n in range(21)}),
    "address with escape": a_body(delivery_address=f"{MARKER}\x1b"),
    "promise yesterday": a_body(promise_by="2020-01-01"),
    "promise in the year 1": a_body(promise_by="0001-01-01"),
    "promise in the year 9999": a_body(promise_by="9999-12-31T23:59:59-14:00"),
    "promise in February 30": a_body(promise_by="2031-02-30"),
    "promise without offset": a_body(promise_by="2031-02-14T10:00:00"),
    "promise without sense": a_body(promise_by="zmarkerz-01"),
    "promise as a week": a_body(promise_by="2031-W07-5"),
    "promise number": a_body(promise_by=1_900_000_000),
    "promise huge offset": a_body(promise_by="2031-02-14T10:00:00+99:99"),
    "promise other digits": a_body(promise_by="٢٠٣١-٠٢-١٤"),
    "note empty": a_body(note=""),
    "note number": a_body(note=1),
    "note too long": a_body(note=MARKER * 300),
    "note with escape": a_body(note=f"{MARKER}\x1b[2J"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_hostile_json_is_refused(client: httpx.Client, name: str) -> None:
    answer = submit(client, MALFORMED[name])

    assert_refused(answer, {400})


@pytest.mark.parametrize("name", INVALID)
def test_hostile_orders_are_refused_with_pointers(client: httpx.Client, name: str) -> None:
    answer = submit(client, json.dumps(INVALID[name]).encode())

    assert_refused(answer, {422})
    assert answer.json()["errors"]


@pytest.mark.parametrize("action", ["cancel", "accept-price"])
@pytest.mark.parametrize("name", MALFORMED)
def test_hostile_json_is_refused_by_commands_too(
    client: httpx.Client, action: str, name: str
) -> None:
    headers = {"content-type": "application/json"}

    answer = client.post(f"/v1/orders/OK-000013/{action}", content=MALFORMED[name], headers=headers)

    assert_refused(answer, {400, 422})


# --- headers, methods, addresses ----------------------------------------------------------------

HEADERS: Mapping[str, tuple[dict[str, str], set[int]]] = {
    "form": ({"content-type": "application/x-www-form-urlencoded"}, {415}),
    "plain text": ({"content-type": "text/plain"}, {415}),
    "multipart": ({"content-type": "multipart/form-data; boundary=x"}, {415}),
    "problem": ({"content-type": "application/problem+json"}, {415}),
    "XML": ({"content-type": "application/xml"}, {415}),
    "no type": ({"content-type": ""}, {415}),
    "nonsense type": ({"content-type": MARKER}, {415}),
    "UTF-16 type": ({"content-type": "application/json; charset=utf-16"}, {415}),
    "Latin-1 type": ({"content-type": "application/json; charset=iso-8859-1"}, {415}),
    "gzip": ({"content-encoding": "gzip"}, {415}),
    "deflate": ({"content-encoding": "deflate"}, {415}),
    "br": ({"content-encoding": "br"}, {415}),
    "two encodings": ({"content-encoding": "identity, gzip"}, {415}),
    "no key": ({"idempotency-key": ""}, {400}),
    "key of 256": ({"idempotency-key": "k" * 256}, {400}),
    "key with blank": ({"idempotency-key": "a b"}, {400}),
    "key in Russian": ({"idempotency-key": "ключ".encode().decode("latin-1")}, {400}),
    "other method in a header": (
        {"x-http-method-override": "DELETE", "idempotency-key": ""},
        {400},
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_headers_are_refused(client: httpx.Client, name: str) -> None:
    changes, statuses = HEADERS[name]
    usual = {"content-type": "application/json", "idempotency-key": MARKER}
    headers = [
        (key.encode(), value.encode("latin-1")) for key, value in (usual | changes).items() if value
    ]

    answer = client.post("/v1/orders", content=GOOD, headers=headers)

    assert_refused(answer, statuses)


def test_a_hostile_gzip_bomb_is_not_unpacked(client: httpx.Client) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    answer = client.post("/v1/orders", content=bomb, headers=headers | {"idempotency-key": "k"})

    assert_refused(answer, {415})


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [256 * 1024 + 1, 1024 * 1024, 10 * 1024 * 1024])
def test_a_hostile_large_body_is_refused(client: httpx.Client, size: int, *, chunked: bool) -> None:
    body = b'"' + MARKER.encode() * (size // 8) + b'"'
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    headers = {"content-type": "application/json", "idempotency-key": "k"}

    answer = client.post("/v1/orders", content=iter(pieces) if chunked else body, headers=headers)

    assert_refused(answer, {413})


ADDRESSES = [
    "/v1", "/v1/", "/v1/nothing", "/v1/orders/", "/V1/orders", "//v1/nothing", "/v1/orders;x=1",
    "/v1/orders/zmarkerz", "/v1/orders/OK-000012", "/v1/orders/OK-99999999999999999999",
    "/v1/orders/0", "/v1/orders/-1", "/v1/orders/1%00", "/v1/orders/%00", "/v1/orders/%ff%fe",
    "/v1/orders/%D9%A1%D9%A2", "/v1/orders/' OR 1=1 --", "/v1/orders/OK-000013/zmarkerz",
    "/v1/orders/../../etc/passwd", "/v1/orders/..%2f..%2fetc%2fpasswd", "/v1/%6frders/x",
    "/v1/files/zmarkerz", "/v1/files/..%2f..%2fx", "/v1/files/%00",
    "/v1/orders?limit=0", "/v1/orders?limit=-1", "/v1/orders?limit=201", "/v1/orders?limit=x",
    "/v1/orders?limit=1e2", "/v1/orders?limit=%D9%A1", "/v1/orders?limit=99999999999999999999",
    "/v1/orders?limit=1&limit=2", "/v1/orders?after=zmarkerz", "/v1/orders?after=OK-000012",
    "/v1/orders?after=%00", "/v1/orders?client_ref=", "/v1/orders?client_ref=%ff",
    "/v1/orders?client_ref=%00", "/v1/events?after=-1", "/v1/events?after=x",
    "/v1/events?after=99999999999999999999", "/v1/events?after=1;drop table orders",
    "/v1/events?limit=1000", "/office/v1/me", "/metrics", "/.env", "/problems/zmarkerz",
    "/problems/..%2f", "/openapi.json/zmarkerz", "/docs", "/schema", "/static/x",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_hostile_addresses_are_refused(client: httpx.Client, address: str) -> None:
    if address == "/v1/orders/":
        address += "%20"

    assert_refused(client.get(address), {400, 404})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "HEAD", "PROPFIND", "LOCK"])
@pytest.mark.parametrize("address", ["/v1/orders", "/v1/orders/OK-000013", "/v1/files", "/healthz"])
def test_hostile_methods_are_refused(client: httpx.Client, method: str, address: str) -> None:
    answer = client.request(method, address)

    assert answer.status_code == 405
    assert "allow" in answer.headers


# --- keys ---------------------------------------------------------------------------------------

KEYS = [
    "", "Bearer", "bearer x", f"Bearer {MARKER}", "Basic YTpi", f"Token {MARKER}",
    "Bearer null", "Bearer undefined", "Bearer ' OR 1=1 --", f"Bearer {'x' * 20_000}",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "Bearer eyJhbGciOiJOb05lIn0.e30.x",
    "Bearer a b", "Bearer\tx", "Digest username=x", "Bearer {key},Bearer x", "Bearer {short}",
    "Bearer {key}x", "Bearer {upper}", "{key}", "Bearer okp_",
]  # fmt: skip


@pytest.mark.parametrize("value", KEYS)
def test_hostile_keys_all_get_the_same_answer(door: DoorUnderTest, anna: Keyed, value: str) -> None:
    told = (
        value.replace("{key}", anna.key)
        .replace("{short}", anna.key[:-1])
        .replace("{upper}", anna.key.swapcase())
    )
    address = f"http://127.0.0.1:{door.port}/v1/orders"

    answer = httpx.get(address, headers={"authorization": told} if told else {}, timeout=60)

    assert_refused(answer, {401})
    assert answer.content == httpx.get(address, timeout=60).content
    assert anna.key not in answer.text


@pytest.mark.parametrize("address", ["//v1/orders", "/v1//orders", "/./v1/orders", "/v1/orders/"])
def test_hostile_spellings_of_an_address_need_a_key_too(door: DoorUnderTest, address: str) -> None:
    head = f"GET {address} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    assert knock(door.port, head.encode()).statuses[0] in {401, 404}


def test_hostile_key_sent_twice_is_refused(door: DoorUnderTest, anna: Keyed) -> None:
    key = f"Authorization: Bearer {anna.key}\r\n".encode()

    heard = knock(door.port, b"GET /v1/orders HTTP/1.1\r\nHost: a\r\n" + key + key + b"\r\n" + BYE)

    assert heard.statuses[0] == 400


# --- bytes on the wire --------------------------------------------------------------------------

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /zmarkerz HTTP/1.1\r\nHost: a\r\n\r\n"
BYE = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
WIRE: Mapping[str, tuple[bytes, set[int]]] = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", {400}),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n", {400}),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (GET + b"Host: b\r\n\r\n", {400}),
    "header without name": (GET + b": x\r\n\r\n", {400}),
    "header without colon": (GET + b"zmarkerz\r\n\r\n", {400}),
    "blank before colon": (GET + b"X : x\r\n\r\n", {400}),
    "NUL in a header": (GET + b"X: a\x00b\r\n\r\n", {400}),
    "bare CR": (GET + b"X: a\rb\r\n\r\n", {400}),
    "bare LF": (b"GET /healthz HTTP/1.1\nHost: a\n\n", {400}),
    "folded header": (GET + b"X: a\r\n b\r\n\r\n", {400}),
    "blank in the address": (b"GET /heal thz HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "bytes in the address": (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", {400, 404}),
    "method of 10 000": (b"A" * 10_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "address of 9 000": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "address of 1 MB": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "header of 33 000": (GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n", {431}),
    "header of 1 MB": (GET + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n", {431}),
    "name of 1 MB": (GET + b"a" * 1_000_000 + b": x\r\n\r\n", {431}),
    "101 headers": (GET + b"X: x\r\n" * 101 + b"\r\n", {431}),
    "5000 headers": (GET + b"X: x\r\n" * 5000 + b"\r\n", {431}),
    "CL.TE": (POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
              {400}),
    "TE.CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\nZ\r\n0\r\n\r\n"
              + SMUGGLED, {400}),
    "two lengths": (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + SMUGGLED,
                    {400}),
    "two equal lengths": (POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", {400}),
    "listed lengths": (POST + b"Content-Length: 4, 4\r\n\r\nabcd", {400}),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", {400}),
    "signed length": (POST + b"Content-Length: +4\r\n\r\nabcd", {400}),
    "hexadecimal length": (POST + b"Content-Length: 0x4\r\n\r\nabcd", {400}),
    "length past 64 bits": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", {400}),
    "TE xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, {400}),
    "TE twice": (POST + b"Transfer-Encoding: chunked\r\n" + b"Transfer-Encoding: identity\r\n\r\n"
                 + b"0\r\n\r\n", {400}),
    "TE with tab": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, {400}),
    "TE gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\nzmarkerz", {400}),
    "chunk size nonsense": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
    "chunk size negative": (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", {400}),
    "chunk size huge": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", {400}),
    "chunk without end": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", {400}),
    "chunk LF": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n", {400}),
    "upgrade to h2c": (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", {400}),
    "upgrade to websocket": (GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", {400}),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "slow head": (b"GET /healthz HTTP/1.1\r\nHost:", {408}),
    "slow body": (POST + b"Content-Length: 100\r\n\r\nzmark", {401, 408}),
}  # fmt: skip


@pytest.mark.parametrize("name", WIRE)
def test_hostile_bytes_are_refused_once_and_the_connection_ends(
    door: DoorUnderTest, name: str
) -> None:
    sent, statuses = WIRE[name]

    heard = knock(door.port, sent)

    assert len(heard.statuses) == 1  # A smuggled second request gets no answer of its own.
    assert heard.statuses[0] in statuses
    assert MARKER.encode() not in heard.raw


def test_a_hostile_silent_connection_is_closed(door: DoorUnderTest) -> None:
    assert knock(door.port, b"").raw == b""


def test_hostile_pipelining_never_refuses_what_was_accepted(
    door: DoorUnderTest, anna: Keyed
) -> None:
    body = json.dumps(a_body(client_ref="pipelined")).encode()
    order = (
        POST
        + f"Authorization: Bearer {anna.key}\r\nIdempotency-Key: pipelined\r\n".encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )

    heard = knock(door.port, order + b"\x00garbage\r\n\r\n")

    assert heard.statuses == [201]


def test_two_hundred_hostile_slow_clients_keep_nobody_out(
    door: DoorUnderTest, client: httpx.Client
) -> None:
    slow = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(200)]
    for connection in slow:
        connection.sendall(b"POST /v1/orders HTTP/1.1\r\nHost: a\r\nX-")

    answers = [client.get("/v1/limits").status_code for _ in range(20)]

    assert answers == [200] * 20
    for connection in slow:
        connection.close()


# --- files --------------------------------------------------------------------------------------

NAMES = [
    "../../etc/passwd", "..\\..\\boot.ini", "C:\\x.stl", "/etc/passwd", "%00.stl", "a\x00b.stl",
    "a\nb.stl", "a\r\nSet-Cookie: x.stl", ".", "..", "...", " ", "con", "NUL.stl", "aux.stl",
    "a" * 900 + ".stl", "<script>alert(1)</script>.stl", "a;rm -rf.stl", "\u202elts.exe",
    "=cmd|' /C calc'!A0.stl", "ring.stl\u0000.exe", "кольцо.stl", "💍.stl", "a/b/c/d.stl",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_hostile_file_names_become_harmless(client: httpx.Client, name: str) -> None:
    answer = client.post("/v1/files", params={"name": name}, content=b"solid x")

    assert answer.status_code in {201, 400}
    if answer.status_code == 201:
        kept = answer.json()["name"]
        assert 0 < len(kept) <= 120
        assert not set(kept) & set('/\\<>:"|?*\x00\r\n\u202e')
        assert kept.strip(". ") == kept


UPLOADS: Mapping[str, tuple[str, bytes, dict[str, str], set[int]]] = {
    "no name": ("/v1/files", b"x", {}, {400}),
    "name twice": ("/v1/files?name=a&name=b", b"x", {}, {400}),
    "name not UTF-8": ("/v1/files?name=%ff", b"x", {}, {400}),
    "name too long": (f"/v1/files?name={'a' * 2000}", b"x", {}, {400}),
    "no bytes": ("/v1/files?name=a", b"", {}, {422}),
    "form": ("/v1/files?name=a", b"x", {"content-type": "multipart/form-data; boundary=x"}, {415}),
    "gzip": ("/v1/files?name=a", b"x", {"content-encoding": "gzip"}, {415}),
    "wrong hash": ("/v1/files?name=a", b"x", {"x-content-sha256": "0" * 64}, {422}),
    "no hash": ("/v1/files?name=a", b"x", {"x-content-sha256": MARKER}, {422}),
    "wrong digest": ("/v1/files?name=a", b"x", {"content-digest": "sha-256=:AAAA:"}, {422}),
    "too large": ("/v1/files?name=a", b"x" * (4 * 1024 * 1024 + 1), {}, {413}),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_hostile_uploads_leave_nothing_behind(
    door: DoorUnderTest, client: httpx.Client, name: str
) -> None:
    address, content, headers, statuses = UPLOADS[name]

    assert_refused(client.post(address, content=content, headers=headers), statuses)

    assert list((door.files_folder / "incoming").iterdir()) == []


def test_a_hostile_endless_upload_is_cut(door: DoorUnderTest, client: httpx.Client) -> None:
    answer = client.post("/v1/files?name=a", content=iter([b"x" * 65536] * 100))

    assert_refused(answer, {413})
    assert list((door.files_folder / "incoming").iterdir()) == []


# --- what every refusal has to be ---------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _alive_afterwards(door: DoorUnderTest) -> Iterator[None]:
    yield
    assert httpx.get(f"http://127.0.0.1:{door.port}/healthz", timeout=60).json() == {"status": "ok"}


def submit(client: httpx.Client, content: bytes) -> httpx.Response:
    headers = {"content-type": "application/json", "idempotency-key": "hostile"}
    return client.post("/v1/orders", content=content, headers=headers)


def assert_refused(answer: httpx.Response, statuses: set[int]) -> None:
    assert answer.status_code in statuses
    assert answer.status_code in REFUSED
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["type"].startswith("/problems/")
    assert problem["status"] == answer.status_code
    assert f'"{MARKER}"' not in answer.text
    assert len(answer.content) < 20_000


TRAILERS: Mapping[str, bytes] = {
    "one header without end": b"a" * 65536,
    "headers without end": b"a: b\r\n" * 10_000,
}


@pytest.mark.parametrize("part", TRAILERS.values(), ids=TRAILERS.keys())
def test_what_comes_without_end_behind_a_body_is_cut_short(
    door: DoorUnderTest, anna: Keyed, part: bytes
) -> None:
    """No limit of the head counted it, and none of the body: it was kept in memory."""
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {anna.key}\r\n"
        "Content-Type: application/json\r\nIdempotency-Key: trailers\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Long: "
    )
    sent = 0
    with socket.create_connection(("127.0.0.1", door.port), timeout=60) as connection:
        connection.sendall(head.encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < FLOOD_BYTES:
                connection.sendall(part)
                sent += len(part)

    assert sent < FLOOD_BYTES
