"""What of the RabbitMQ transport can be told without a broker."""

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.adapters.rabbitmq.link import Timing, pause_after
from orderkeep.adapters.rabbitmq.message import NotAnEnvelope, envelope, message
from orderkeep.adapters.rabbitmq.topology import topology, version_of
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.delivery.cloud_events import AMQP_PREFIX, envelope_of, of_attributes
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import EnvelopeId

ROUTES = {"priced": ("bridge",), "cancelled": ("bridge", "floor")}
_word = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=32
)
_instant = st.datetimes(timezones=st.just(UTC))


def test_every_route_is_bound_and_every_inbox_has_its_dead_letters() -> None:
    wanted = topology(ROUTES)

    bound = {(one.key, one.queue) for one in wanted.bindings if one.exchange.endswith("envelopes")}
    assert bound == {
        ("priced", "orderkeep.inbox.bridge"),
        ("cancelled", "orderkeep.inbox.bridge"),
        ("cancelled", "orderkeep.inbox.floor"),
    }
    names = {queue.name for queue in wanted.queues}
    assert {one.queue for one in wanted.bindings} == names
    for queue in wanted.queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        if ".inbox." in queue.name:
            key = queue.arguments["x-dead-letter-routing-key"]
            assert f"orderkeep.dead.{key}" in names
            assert queue.arguments["x-overflow"] == "reject-publish"
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"


def test_an_older_broker_is_not_asked_for_what_it_does_not_know() -> None:
    older = topology(ROUTES, version_of("3.9.27"))

    assert all("x-dead-letter-strategy" not in queue.arguments for queue in older.queues)
    assert version_of("4.1.0-rc.1") == (4, 1)
    assert version_of(None) == (0,)


def test_a_newer_broker_throws_nothing_away_at_the_end_of_the_road() -> None:
    newer = topology(ROUTES, version_of("4.1.0"))

    ends = [one for one in newer.queues if "x-dead-letter-exchange" not in one.arguments]
    assert {one.name for one in ends} == {
        "orderkeep.unroutable",
        "orderkeep.dead.bridge",
        "orderkeep.dead.floor",
    }
    assert {one.arguments["x-delivery-limit"] for one in ends} == {1_000_000}


@given(seed=st.integers(), attempts=st.integers(0, 10_000))
def test_a_pause_is_anything_up_to_a_bound_that_doubles(seed: int, attempts: int) -> None:
    timing = Timing(first_pause=0.5, longest_pause=8)

    pause = pause_after(attempts, Random(seed), timing)

    assert 0 <= pause <= min(8, 0.5 * 2 ** max(0, min(attempts - 1, 10)))


def test_pauses_use_their_whole_range() -> None:
    """Without it everybody comes back at the same instant."""
    pauses = [pause_after(20, Random(seed), Timing(longest_pause=8)) for seed in range(200)]

    assert min(pauses) < 1
    assert max(pauses) > 7


@given(_word, _word, st.integers(0, 32_767), _word, _instant, st.binary(max_size=200))
def test_an_envelope_comes_back_as_it_went(
    id_: str, kind: str, version: int, key: str, at: datetime, body: bytes
) -> None:
    sent = Envelope(EnvelopeId(id_), kind, version, key, at, "0" * 32, body)

    packed = message(sent)

    assert envelope(packed.headers, packed.body) == sent
    assert (packed.message_id, int(packed.delivery_mode or 0)) == (id_, 2)


GOOD: dict[str, Any] = {
    "id": "1", "kind": "k", "schema_version": 1, "order_key": "o", "trace_id": "",
    "at": "2026-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_every_header_is_needed(name: str) -> None:
    assert envelope(GOOD, b"").id == "1"

    with pytest.raises(NotAnEnvelope):
        envelope({key: value for key, value in GOOD.items() if key != name}, b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""}, {"id": "x" * 201}, {"id": "a\x00b"}, {"kind": "k" * 41},
        {"schema_version": "1"}, {"schema_version": -1}, {"schema_version": 2**40},
        {"order_key": None}, {"order_key": b"o"},
        {"at": "2026-01-01T00:00:00"}, {"at": "yesterday"}, {"at": 5}, {"trace_id": "t" * 33},
    ],
)  # fmt: skip
def test_what_no_table_could_hold_is_no_envelope(wrong: dict[str, Any]) -> None:
    with pytest.raises(NotAnEnvelope):
        envelope(GOOD | wrong, b"")


def test_an_instant_may_be_written_with_any_offset() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=3)))

    assert envelope(GOOD | {"at": noon.isoformat()}, b"").at == noon


def test_a_message_is_a_cloud_event_as_well() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    sent = Envelope(EnvelopeId("e-1"), "price.wanted", 1, "OK-000042", at, "0" * 32, b"{}")

    packed = message(sent)
    headers = {name: str(value) for name, value in packed.headers.items()}

    assert packed.content_type == "application/json"
    assert envelope_of(of_attributes(headers, AMQP_PREFIX, packed.body)) == sent


async def test_who_never_opens_it_tells_of_no_connection_that_could_be_lost() -> None:
    store: Any = SimpleNamespace(write=None)  # Nothing arrives.
    nowhere = "amqp://127.0.0.1:1/"
    transport = RabbitTransport(nowhere, store, ROUTES, SystemClock(), Random(1))

    assert transport.state() == {}
    async with transport:
        opened = transport.state()
    assert list(opened) == [
        "publish",
        "consume.bridge",
        "consume.floor",
        "consume.dead.bridge",
        "consume.dead.floor",
        "consume.nobody",
    ]
    assert not any(one.connected_since for one in opened.values())
