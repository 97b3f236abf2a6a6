"""What is turned away unread must be one whole request, or the next answer goes astray."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.http.admission import Kind, kind_of
from orderkeep.http.at_once import is_whole

BODY = b'{"client_ref":"R-1"}'
HEAD = b"Host: door\r\nContent-Type: application/json\r\nContent-Length: 20\r\nAccept: */*"
WHOLE = HEAD + b"\r\n\r\n" + BODY


def test_a_head_and_a_body_of_its_length_are_whole() -> None:
    assert is_whole(WHOLE)
    assert is_whole(b"Host: door\r\n\r\n")
    assert is_whole(WHOLE.replace(b"Content-Length: 20", b"CONTENT-LENGTH:20\t"))


@given(cut=st.integers(1, len(WHOLE)))
def test_no_part_of_it_is_whole(cut: int) -> None:
    assert not is_whole(WHOLE[:-cut])


@given(more=st.binary(min_size=1, max_size=50))
def test_nothing_more_is_whole(more: bytes) -> None:
    assert not is_whole(WHOLE + more)


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Content-Length: 20",
        b"Content-Length: 21",
        b"Content-Length : 20",
        b"Content-Length: +20",
        b"Expect: 100-continue",
        b"Connection: close",
        b"Upgrade: h2c",
    ],
)
def test_what_a_parser_has_to_judge_is_left_to_it(line: bytes) -> None:
    assert not is_whole(line + b"\r\n" + WHOLE)


@given(noise=st.binary(max_size=200))
def test_no_bytes_break_the_look(noise: bytes) -> None:
    is_whole(noise)


@pytest.mark.parametrize(
    "line, kind",
    [
        (b"POST /v1/orders", Kind.ORDER),
        (b"POST /v1/orders/", Kind.ORDER),
        (b"POST /v1/orders/OK-000013/cancel", Kind.ORDER),
        (b"GET /v1/orders?after=OK-000013", Kind.OTHER),
        (b"GET /v1/orders/OK-000013", Kind.OTHER),
        (b"POST /v1/files?name=ring.stl", Kind.OTHER),
        (b"BREW /v1/orders", Kind.OTHER),
        (b"GET /healthz", None),
        (b"HEAD /readyz", None),
    ],
)
def test_orders_are_one_kind_and_who_asks_how_we_are_is_none(
    line: bytes, kind: Kind | None
) -> None:
    method, _, url = line.partition(b" ")

    assert kind_of(method, url) is kind
