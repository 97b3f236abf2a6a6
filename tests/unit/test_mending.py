"""What a person begins with who mends a message that could not be read."""

import json

import pytest

from orderkeep.delivery.mending import draft


def test_the_number_of_the_order_is_taken_from_the_message_itself() -> None:
    told = json.loads(draft(b'{"order_no": "OK-000013", "version": 1}'))

    assert told == {
        "kind": "",
        "schema_version": 1,
        "order_key": "OK-000013",
        "body": {"order_no": "OK-000013", "version": 1},
    }


@pytest.mark.parametrize("raw", [b"\xff\x00", b"<html>", b"", b"[" * 10_000])
def test_of_what_is_no_json_nothing_is_guessed(raw: bytes) -> None:
    assert json.loads(draft(raw))["body"] == {}


@pytest.mark.parametrize("raw", [b"[1]", b'"text"', b'{"order_no": 7}'])
def test_what_is_json_and_names_no_order_is_kept_as_it_is(raw: bytes) -> None:
    told = json.loads(draft(raw))

    assert (told["order_key"], told["body"]) == ("", json.loads(raw))
