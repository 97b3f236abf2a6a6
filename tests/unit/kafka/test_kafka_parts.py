"""What of the Kafka transport can be told without a broker."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.adapters.kafka.address import USUAL, consuming, producing
from orderkeep.adapters.kafka.message import headers, read
from orderkeep.adapters.kafka.transport import KafkaTransport
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.relay import LEASE
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import EnvelopeId

_word = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=32
)
_kind = st.from_regex(r"[a-z_]{1,15}\.[a-z_]{1,15}", fullmatch=True)
_instant = st.datetimes(timezones=st.just(UTC))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SENT = Envelope(EnvelopeId("e-1"), "price.wanted", 1, "OK-000042", NOON, "0" * 32, b"{}")


@given(_word, _kind, st.integers(0, 32_767), _word, _instant, _word | st.just(""), st.binary())
def test_an_envelope_comes_back_as_it_went(
    id_: str, kind: str, version: int, key: str, at: datetime, trace: str, body: bytes
) -> None:
    sent = Envelope(EnvelopeId(id_), kind, version, key, at, trace, body)

    assert read(headers(sent), body).envelope == sent


@pytest.mark.parametrize("name", ["id", "type", "source", "specversion", "time", "subject"])
def test_every_header_is_needed(name: str) -> None:
    left = {key: value for key, value in dict(headers(SENT)).items() if key != f"ce_{name}"}

    found = read(left, b"{}")

    assert found.envelope is None
    assert found.why.startswith("not an envelope: ")


@pytest.mark.parametrize(
    "name, value",
    [
        ("id", "x" * 201),
        ("id", "a\x00b"),
        ("type", f"{'x' * 41}.v1"),
        ("type", "price.wanted.v32768"),
        ("subject", "x" * 65),
        ("traceid", "x" * 33),
        ("time", "2026-03-02T12:00:00"),
    ],
)
def test_what_no_table_could_hold_is_no_envelope(name: str, value: str) -> None:
    found = read({**dict(headers(SENT)), f"ce_{name}": value}, b"{}")

    assert found.envelope is None
    assert found.id is None or (len(found.id) <= 200 and "\x00" not in found.id)


@given(st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9) | st.none()), max_size=5))
def test_whatever_comes_can_be_kept(said: list[tuple[str, bytes | str | None]]) -> None:
    assert read(said, b"x").envelope is None
    assert read(None, b"").envelope is None


def test_only_every_in_sync_replica_counts_and_nothing_is_doubled() -> None:
    settings = producing("kafka://a:9092,b:9092/", USUAL)

    assert settings["bootstrap.servers"] == "a:9092,b:9092"
    assert (settings["acks"], settings["enable.idempotence"]) == ("all", True)
    assert USUAL.publish < LEASE.total_seconds()


def test_no_offset_moves_by_itself() -> None:
    settings = consuming("kafka://a:9092", "group", USUAL)

    assert (settings["enable.auto.commit"], settings["enable.auto.offset.store"]) == (False, False)
    assert settings["auto.offset.reset"] == "earliest"


@pytest.mark.parametrize(
    "url, protocol, signs_in",
    [
        ("kafka://a:9092", "plaintext", False),
        ("kafkas://a:9092", "ssl", False),
        ("kafka://u:a%20secret@a:9092", "sasl_plaintext", True),
        ("kafkas://u:a%20secret@a:9092", "sasl_ssl", True),
    ],
)
def test_an_address_says_how_to_sign_in(url: str, protocol: str, *, signs_in: bool) -> None:
    settings = producing(url, USUAL)

    assert settings["security.protocol"] == protocol
    assert settings.get("sasl.password") == ("a secret" if signs_in else None)
    assert settings.get("sasl.mechanism") == ("SCRAM-SHA-512" if signs_in else None)


def test_who_never_opens_it_tells_of_no_client_that_could_be_lost() -> None:
    store: Any = None  # Nothing arrives.

    transport = KafkaTransport("kafka://127.0.0.1:1", store, {}, SystemClock())

    assert transport.state() == {}
