"""What we say to others is written down, and does not change behind their backs.

Samples and schemas are added, not edited. A message that has to say something differently gets a
new version with a sample and a schema of its own, beside the old ones.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from orderkeep.adapters.crm_http.answers import Reader as CrmReader
from orderkeep.adapters.crm_http.settings import CrmHttpSettings
from orderkeep.adapters.crm_http.shapes import body_of as body_of_news
from orderkeep.adapters.mes_http.answers import Reader
from orderkeep.adapters.mes_http.port import MesHttp
from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.adapters.mes_http.shapes import MesOrder
from orderkeep.bridge.crm import CrmOrder
from orderkeep.bridge.ports import WorkOrder
from orderkeep.delivery import cloud_events as cloud
from orderkeep.http.door.event_data import FACTS
from orderkeep.http.door.public_events import TYPES, cloud_event, event_view, is_public
from orderkeep.kernel.ids import Ids, OrderNo, WorkOrderRef
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.announce import SCHEMA_VERSION, envelopes_for, routes
from orderkeep.orders.messages import BODIES, CrmSaid
from orderkeep.orders.news import news_after
from orderkeep.orders.order import Stage
from orderkeep.orders.tracking import Announced
from orderkeep.roles.asyncapi import document, written
from orderkeep.roles.contracts import Contract, contracts, promise, schema
from orderkeep.testing.orders import CHAIN, ENGINE, NOON, RING, SELLER, a_story, an_order

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/fixtures/messages"
SCHEMAS = ROOT / "docs/reference/schemas"
ASYNCAPI = ROOT / "web/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

contract = pytest.mark.parametrize("one", list(contracts()), ids=lambda one: one.key)


def sample_of(one: Contract) -> bytes:
    return (SAMPLES / f"{one.place}.json").read_bytes()


def promised(one: Contract) -> Any:
    return json.loads((SCHEMAS / f"{one.place}.json").read_bytes())


def body_of(one: Contract, sample: bytes) -> Any:
    """What the schema speaks of: of an envelope its body, else all of it."""
    return json.loads(sample)["data"] if one.family == "envelopes" else json.loads(sample)


def faults(promise_: Any, said: Any) -> list[str]:
    validator = Draft202012Validator(promise_, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [fault.message for fault in validator.iter_errors(said)]


# --- what was promised ---------------------------------------------------------------------------


@contract
def test_a_message_is_what_was_promised(one: Contract) -> None:
    """Whoever changes a shape in place fails here: a new version is wanted instead."""
    assert promise(schema(one)) == promise(promised(one))


@contract
def test_a_sample_keeps_the_promise(one: Contract) -> None:
    assert faults(promised(one), body_of(one, sample_of(one))) == []


@contract
def test_a_sample_is_read_and_written_without_loss(one: Contract) -> None:
    said = body_of(one, sample_of(one))

    read = msgspec.json.decode(msgspec.json.encode(said), type=one.shape)

    assert json.loads(msgspec.json.encode(read)) == said


@contract
def test_a_sample_says_everything_its_message_can_say(one: Contract) -> None:
    said = body_of(one, sample_of(one))
    special = said["data"]["facts"] if one.family == "events" else said

    assert special.keys() == {*one.told.__struct_fields__}


def test_nothing_that_was_promised_is_gone() -> None:
    known = {one.place for one in contracts()}

    for folder in (SAMPLES, SCHEMAS):
        kept = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.json")}
        assert kept == known


def test_a_changed_shape_is_no_longer_what_was_promised() -> None:
    one = next(contracts())
    wider = msgspec.defstruct("FloorSaid", [("more", int, 0)], bases=(one.shape,))
    narrow = msgspec.defstruct("FloorSaid", [("seq", str)], bases=(one.shape,), kw_only=True)

    for changed in (wider, narrow):
        other = Contract(one.family, one.name, changed, one.told)
        assert promise(schema(other)) != promise(promised(one))


# --- the promise and the code --------------------------------------------------------------------


def test_every_kind_on_its_way_has_a_shape() -> None:
    assert {(kind, SCHEMA_VERSION) for kind in routes(floor=True)} <= BODIES.keys()


def test_every_public_type_has_a_shape() -> None:
    assert {*TYPES.values()} == FACTS.keys()


def recorded(path: Path) -> e.Recorded:
    cause = e.Cause(ENGINE, "test", "quoting", TRACE)
    event = e.decode(path.read_bytes())
    return e.Recorded(OrderNo("OK-000042"), 7, NOON, Stage.SUBMITTED, cause, event)


def test_every_event_is_announced_as_promised() -> None:
    order = an_order(stage=Stage.MANUFACTURING_APPROVED)
    known = {(one.family, one.name): promised(one) for one in contracts()}
    told = set()
    for path in sorted((ROOT / "tests/fixtures/events").iterdir()):
        one = recorded(path)
        for envelope in envelopes_for(order, [one], Ids()):
            name = f"{envelope.kind}.v{envelope.schema_version}"
            assert faults(known["envelopes", name], json.loads(envelope.body)) == []
        if is_public(one.event):
            event = cloud_event(event_view(Announced(1, None, one)))
            told.add(event.type)
            assert faults(known["events", event.type], json.loads(cloud.structured(event))) == []

    assert told == FACTS.keys()


def test_a_mes_is_asked_and_read_as_promised() -> None:
    settings = MesHttpSettings(base_url="http://mes.example")
    reference = WorkOrderRef("OK-000042/2")
    positions = [msgspec.to_builtins(one) for one in (RING, CHAIN)]
    promise_at = NOON + timedelta(days=21)
    wanted = WorkOrder(reference, OrderNo("OK-000042"), positions, promise_at, "2" * 64)

    asked = MesHttp(settings)._body(wanted)
    job = Reader(settings).job((SAMPLES / "mes/job.v1.json").read_bytes())
    page = Reader(settings).page((SAMPLES / "mes/jobs.v1.json").read_bytes())

    assert (
        json.loads(msgspec.json.encode(msgspec.convert(asked, MesOrder)))["positions"] == positions
    )
    assert asked.keys() == {*MesOrder.__struct_fields__}
    assert job is not None
    assert (job.mes_id, job.reference, job.status) == ("4711", reference, "queued")
    assert page is not None
    assert [one.reference for one in page.jobs] == [reference]


def test_a_crm_is_told_and_read_as_promised() -> None:
    settings = CrmHttpSettings(base_url="http://crm.example")
    reader, story = CrmReader(settings), a_story(Stage.PRICE_CALCULATED)
    story.do(c.PlaceHold("client is asked", "seller", NOON + timedelta(days=1)), SELLER)
    story.do(c.CancelOrder("too expensive"), SELLER)
    known = {one.name: promised(one) for one in contracts() if one.family == "crm"}

    news, told = news_after(story.history, 0), set[str]()
    while news is not None:
        said = json.loads(body_of_news(news, settings))
        assert faults(known["news.v1"], said) == []
        told |= said.keys()
        news = news_after(story.history, news.version)

    assert {"positions", "price", "hold", "cancel_reason"} <= told
    shown = reader.order((SAMPLES / "crm/order.v1.json").read_bytes())
    assert shown == CrmOrder("OK-000042", "IN_WORK", 7, "C-42")
    alone = reader.said((SAMPLES / "crm/command.v1.json").read_bytes())
    page = reader.page((SAMPLES / "crm/commands.v1.json").read_bytes())
    assert page == ([alone], "c-18")
    assert alone == CrmSaid(OrderNo("OK-000042"), "cancel", "D-17", "changed my mind", 6)


# --- CloudEvents ---------------------------------------------------------------------------------

envelope = pytest.mark.parametrize(
    "one", [one for one in contracts() if one.family == "envelopes"], ids=lambda one: one.key
)


@envelope
def test_an_envelope_is_the_same_in_both_modes_of_a_cloud_event(one: Contract) -> None:
    sample = cloud.read(sample_of(one))
    packed = cloud.envelope_of(sample)

    for prefix in (cloud.AMQP_PREFIX, cloud.KAFKA_PREFIX):
        headers = cloud.attributes(cloud.of_envelope(packed), prefix)
        assert cloud.envelope_of(cloud.of_attributes(headers, prefix, packed.body)) == packed
    again = cloud.structured(cloud.of_envelope(packed))
    assert json.loads(again) == json.loads(sample_of(one))


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"},
        {"specversion": None},
        {"source": "/somebody/else"},
        {"type": "price.wanted"},
        {"time": "yesterday"},
        {"time": "2026-03-02T12:00:00"},
        {"id": ""},
        {"subject": None},
    ],
    ids=str,
)
def test_a_stranger_is_not_taken_for_an_envelope(wrong: dict[str, str | None]) -> None:
    known = cloud.read((SAMPLES / "envelopes/price.wanted.v1.json").read_bytes())
    headers = cloud.attributes(known, "ce_") | {
        f"ce_{name}": v for name, v in wrong.items() if v is not None
    }
    for name, value in wrong.items():
        if value is None:
            del headers[f"ce_{name}"]

    with pytest.raises(cloud.NotOurs):
        cloud.envelope_of(cloud.of_attributes(headers, "ce_", b"{}"))


def test_only_a_trace_that_w3c_knows_becomes_a_traceparent() -> None:
    assert cloud.traceparent("0" * 32, "x") is msgspec.UNSET
    assert cloud.traceparent("", "x") is msgspec.UNSET
    assert str(cloud.traceparent(TRACE, "x")).startswith(f"00-{TRACE}-")
    assert cloud.traceparent(TRACE, "x") == cloud.traceparent(TRACE, "x")


# --- AsyncAPI ------------------------------------------------------------------------------------


def test_the_description_is_valid_asyncapi() -> None:
    official = json.loads(ASYNCAPI.read_bytes())

    wrong = [
        f"{f.json_path}: {f.message}" for f in Draft7Validator(official).iter_errors(document())
    ]

    assert wrong == []


def test_the_description_describes_every_message() -> None:
    described = document()
    said = {
        reference["$ref"]
        for channel in described["channels"].values()
        for reference in channel["messages"].values()
    }

    assert said == {f"#/components/messages/{one.key}" for one in contracts()}
    assert described["components"]["messages"].keys() == {one.key for one in contracts()}


def test_the_description_that_is_handed_out_is_the_codes_own() -> None:
    """Where they differ: `make reference`."""
    assert (ROOT / "docs/reference/asyncapi.json").read_bytes() == written()


def test_every_reference_of_the_description_leads_somewhere() -> None:
    described = document()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [one for value in part.values() for one in references(value)]
        return [one for each in part for one in references(each)] if isinstance(part, list) else []

    for reference in references(described):
        found: Any = described
        for step in reference.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
