"""Messages of present systems: read by configuration, the same way every time, or said why not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orderkeep.cli.mappings import app
from orderkeep.config import load
from orderkeep.intake.mapping import (
    Message,
    NotMapped,
    Source,
    UnknownMessage,
    Word,
    read,
    read_sources,
)
from orderkeep.intake.samples import check_all
from orderkeep.kernel.errors import Invalid, Refused

EXAMPLE = Path(__file__).parents[3] / "examples" / "taking-over"
KIND = {"client_ref": "no", "items": "lines[].{sku: sku, material: metal}", "customer": "who"}


def a_source(preset: str = "plain", **kind: Any) -> Source:
    table = {
        "partner": "Shop",
        "preset": preset,
        "messages": {"Placed": {**KIND, **kind}},
        "values": {"material": {"Gold": "au585_yellow"}},
    }
    return read_sources({"shop": table}, "orderkeep.toml")["shop"]


def a_message(headers: dict[str, Any] | None = None, **changed: Any) -> Message:
    order = {"no": 7, "lines": [{"sku": "RING-01", "metal": "Gold"}], "who": {"name": "Anna"}}
    headers = {"type": "Placed"} if headers is None else headers
    return Message(json.dumps({**order, **changed}).encode(), headers, "orders")


def test_words_and_numbers_become_ours() -> None:
    mapped = read(a_source(), a_message())

    assert mapped.kind == "Placed"
    assert mapped.submission is not None
    assert json.loads(mapped.submission) == {
        "client_ref": "7",
        "items": [{"sku": "RING-01", "material": "au585_yellow"}],
        "customer": {"name": "Anna"},
    }


def test_the_same_message_gives_the_same_bytes_whatever_the_order_of_its_names() -> None:
    turned = Message(
        b'{"who":{"name":"Anna"},"lines":[{"metal":"Gold","sku":"RING-01"}],"no":7}',
        {"type": "Placed"},
    )

    assert read(a_source(), a_message()) == read(a_source(), turned)


def test_spring_names_the_class_and_its_package_is_nobodys_business() -> None:
    message = a_message({"__TypeId__": "com.maker.events.Placed"})

    assert read(a_source("spring"), message).kind == "Placed"


def test_masstransit_wraps_the_message_and_lists_its_types() -> None:
    wrapped = {
        "messageType": ["urn:message:Maker.Events:Placed", "urn:message:Maker:Event"],
        "message": json.loads(a_message().body),
    }
    message = Message(json.dumps(wrapped).encode())

    assert read(a_source("masstransit"), message).submission is not None


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"messageType":[],"message":1}', b"7"])
def test_what_is_no_masstransit_envelope_is_unknown(body: bytes) -> None:
    with pytest.raises(UnknownMessage):
        read(a_source("masstransit"), Message(body))


def test_a_version_tells_messages_without_an_id_apart() -> None:
    source = a_source(version="changed")

    assert read(source, a_message(changed="2026-11-02")).version == "2026-11-02"
    assert read(source, a_message()).version is None


STATES = {"in work": "started", "7": "shipped", "asked": "ignored", "*": "accepted"}


def a_speaker(states: dict[str, str] | None = None, **kind: Any) -> Source:
    """A source that only says how far orders are."""
    table = {
        "partner": "Shop",
        "messages": {"Moved": {"client_ref": "no", "status": "state", **kind}},
        "values": {} if states is None else {"status": states},
    }
    return read_sources({"shop": table}, "orderkeep.toml")["shop"]


def a_word(**said: Any) -> Message:
    return Message(json.dumps({"no": 7, **said}).encode(), {"type": "Moved"})


@pytest.mark.parametrize(
    "state, status", [("in work", "started"), (7, "shipped"), ("who knows", "accepted")]
)
def test_a_source_says_how_far_an_order_is(state: Any, status: str) -> None:
    mapped = read(a_speaker(STATES, tracking_no="parcel"), a_word(state=state, parcel=12))

    assert mapped.submission is None
    assert mapped.word == Word("7", status, tracking_no="12")


def test_a_word_may_mean_nothing_to_us() -> None:
    mapped = read(a_speaker(STATES), a_word(state="asked"))

    assert (mapped.submission, mapped.word) == (None, None)


@pytest.mark.parametrize("said", [{}, {"state": None}, {"state": "melting"}, {"state": ["x"]}])
def test_a_word_that_nobody_understands_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(NotMapped):
        read(a_speaker(), a_word(**said))


def test_a_message_may_bring_an_order_and_say_how_far_it_is() -> None:
    source = a_source(status="state")

    with_word, without = read(source, a_message(state="started")), read(source, a_message())

    assert with_word.word == Word("7", "started")
    assert (with_word.submission, without.word) == (without.submission, None)


def test_words_that_no_order_knows_stop_the_program() -> None:
    with pytest.raises(Invalid, match=r"values\.status\.in work"):
        a_speaker({"in work": "hammered"})
    with pytest.raises(Invalid, match="Goes with"):
        a_source(tracking_no="parcel")
    with pytest.raises(Invalid, match="customer"):
        a_speaker(items="lines")


def test_a_kind_can_be_ignored() -> None:
    assert read(a_source(ignore=True), a_message()).submission is None


def test_a_kind_that_no_mapping_knows_is_told_with_its_name() -> None:
    with pytest.raises(UnknownMessage) as told:
        read(a_source(), a_message({"type": "Cancelled"}))

    assert told.value.facts == {"kind": "Cancelled"}


@pytest.mark.parametrize(
    "message",
    [
        a_message(no=None),
        a_message(no=7.5),
        a_message(no=True),
        a_message(lines=[{"sku": "RING-01", "metal": "Palladium of Anna"}]),
        Message(b'{"no":1,"no":2}', {"type": "Placed"}),
        Message(b'{"no":1e999}', {"type": "Placed"}),
        Message(b'{"no":NaN}', {"type": "Placed"}),
        Message(b"\xff", {"type": "Placed"}),
        Message(b"[" * 100_000, {"type": "Placed"}),
        a_message(who="\ud800 Anna"),
    ],
)
def test_what_cannot_be_mapped_is_refused_without_repeating_what_it_says(message: Message) -> None:
    with pytest.raises(NotMapped) as told:
        read(a_source(), message)

    assert "Anna" not in str(told.value)


@given(body=st.binary(max_size=200))
def test_no_bytes_whatever_do_anything_but_be_read_or_refused(body: bytes) -> None:
    for preset in ("plain", "spring", "masstransit"):
        try:
            read(a_source(preset), Message(body, {"type": "Placed"}))
        except Refused:
            continue


def test_every_mistake_of_a_mapping_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "orderkeep.toml").write_text(
        '[sources.shop]\npreset = "corba"\ncolour = 1\n'
        '[sources.shop.messages.Placed]\nclient_ref = "a["\nitems = 3\n'
    )

    with pytest.raises(Invalid) as told:
        load({}, tmp_path)

    place = "orderkeep.toml: sources.shop"
    assert {fault.pointer for fault in told.value.faults} == {
        f"{place}.partner",
        f"{place}.preset",
        f"{place}.colour",
        f"{place}.messages.Placed.client_ref",
        f"{place}.messages.Placed.items",
        f"{place}.messages.Placed.customer",
    }


def test_a_kind_that_no_sample_shows_is_not_as_expected() -> None:
    assert [one.name for one in check_all(a_source(), {}) if one.difference] == ["Placed"]


def test_the_shipped_example_maps_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)

    result = CliRunner().invoke(app, ["check"])

    assert result.exit_code == 0, result.output
    assert result.output.count("as expected") == 4


def test_a_changed_mapping_shows_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "orderkeep.toml"
    file.write_text(file.read_text().replace("au585_yellow", "au750_yellow"))
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(app, ["check"])

    assert result.exit_code == 1
    assert '-      "material": "au585_yellow"' in result.output
    assert '+      "material": "au750_yellow"' in result.output
