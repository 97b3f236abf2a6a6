"""What we say and hear, as an AsyncAPI 3 document; written from the code and checked against it."""

from collections.abc import Sequence
from typing import Any

import msgspec

import orderkeep
from orderkeep.adapters.crm_http.settings import CrmHttpSettings
from orderkeep.adapters.kafka import TESTED, TOPIC
from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.adapters.rabbitmq.topology import EXCHANGE, inbox_queue
from orderkeep.delivery.cloud_events import AMQP_PREFIX, BATCH, STRUCTURED, Attributes
from orderkeep.http.door.callbacks import PREFIX
from orderkeep.orders.announce import routes
from orderkeep.roles.contracts import Contract, JsonObject, components, contracts

_SCHEMAS = "#/components/schemas/{name}"
_HEADERS = "CloudEventHeaders"
_DESCRIPTION = """\
Messages between orderkeep's own processes (`envelopes`), to partners and whoever else listens
(`events`), and to and from a MES and a CRM behind HTTP (`mes`, `crm`). Accepting orders is plain
HTTP and described in `/openapi.json`.

A message of a kind and version never changes. A new version is a new message beside the old one."""


def document() -> JsonObject:
    """The whole document."""
    known = list(contracts())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "orderkeep",
            "version": orderkeep.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(known),
        "operations": _operations(),
        "components": {"messages": _messages(known), "schemas": _schemas(known)},
    }


def _servers() -> JsonObject:
    return {
        "rabbitmq": {
            "host": "broker.example:5672",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "description": "The maker's broker, if any; by default tables carry envelopes.",
        },
        "kafka": {
            "host": "kafka.example:9092",
            "protocol": "kafka",
            "description": f"The maker's Kafka, by choice. Tested {TESTED}.",
        },
        "door": {
            "host": "orders.example",
            "protocol": "https",
            "description": "The public door: partners fetch their events.",
        },
        "mes": {
            "host": "mes.example",
            "protocol": "http",
            "description": "A MES behind HTTP; every path and name can be set.",
        },
        "crm": {
            "host": "crm.example",
            "protocol": "http",
            "description": "A CRM behind HTTP; every path and name can be set.",
        },
    }


# --- channels and operations ---------------------------------------------------------------------


def _channels(known: Sequence[Contract]) -> JsonObject:
    mes = MesHttpSettings(base_url="http://mes.example")
    envelopes = {
        f"envelopes.{kind}": _envelope_channel(kind, known)
        for kind in sorted(routes(floor=True, crm=True))
    }
    inside = [one for one in known if one.family == "envelopes"]
    return envelopes | {
        "envelopes": _channel(
            TOPIC, "kafka", inside, "All of them, keyed by the order, with CloudEvents headers."
        )
        | {"bindings": {"kafka": {"topic": TOPIC, "bindingVersion": "0.5.0"}}},
        "events": _channel(
            "/v1/events", "door", [one for one in known if one.family == "events"],
            "What happened to a partner's orders, oldest first; GET it again behind the last id.",
        ),
        "mes.orders": _channel(
            mes.submit_path, "mes", _named(known, "mes.order.v1", "mes.job.v1"),
            "A work order is asked for, and the MES answers with the job it made of it.",
        ),
        "mes.jobs": _channel(
            mes.lookup_path, "mes", _named(known, "mes.jobs.v1"),
            "What a look-up, a listing or a question for changes finds.",
        ),
        "mes.callbacks": _channel(
            f"{PREFIX}mes", "door", _named(known, "mes.job.v1"),
            "The MES says by itself how far a job has come, and signs it.",
        ),
    } | _crm_channels(known)  # fmt: skip


def _crm_channels(known: Sequence[Contract]) -> JsonObject:
    crm = CrmHttpSettings(base_url="http://crm.example")
    return {
        "crm.orders": _channel(
            crm.tell_path, "crm", _named(known, "crm.news.v1", "crm.order.v1"),
            "News of an order in its sequence, and what the CRM then has of it.",
        )
        | {"parameters": {"order_no": {"description": "Our number of the order."}}},
        "crm.commands": _channel(
            crm.commands_path, "crm", _named(known, "crm.commands.v1"),
            "What people decided at the CRM; GET it again behind the last cursor.",
        ),
        "crm.callbacks": _channel(
            f"{PREFIX}crm", "door", _named(known, "crm.command.v1"),
            "The CRM says by itself what its people decided, and signs it.",
        ),
    }  # fmt: skip


def _envelope_channel(kind: str, known: Sequence[Contract]) -> JsonObject:
    theirs = [one for one in known if one.key.startswith(f"envelopes.{kind}.v")]
    queues = ", ".join(f"`{inbox_queue(name)}`" for name in routes(floor=True, crm=True)[kind])
    return _channel(kind, "rabbitmq", theirs, f"Goes to the queues {queues}.") | {
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "direct", "durable": True},
                "bindingVersion": "0.3.0",
            }
        }
    }


def _channel(address: str, server: str, said: Sequence[Contract], what: str) -> JsonObject:
    return {
        "address": address,
        "description": what,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {one.name: {"$ref": f"#/components/messages/{one.key}"} for one in said},
    }


def _named(known: Sequence[Contract], *keys: str) -> list[Contract]:
    return [one for one in known if one.key in keys]


def _operations() -> JsonObject:
    inside = ["envelopes", *(f"envelopes.{kind}" for kind in sorted(routes(floor=True, crm=True)))]
    said = {f"carry.{channel}": _operation("send", channel) for channel in inside}
    heard = {f"take.{channel}": _operation("receive", channel) for channel in inside}
    return said | heard | {
        "tell.partners": _operation("send", "events"),
        "ask.mes": _operation("send", "mes.orders", ["order.v1"]) | _reply("mes.orders", "job.v1"),
        "look.at.mes": _operation("receive", "mes.jobs"),
        "hear.mes": _operation("receive", "mes.callbacks"),
        "tell.crm": _operation("send", "crm.orders", ["news.v1"])
        | _reply("crm.orders", "order.v1"),
        "look.at.crm": _operation("receive", "crm.commands"),
        "hear.crm": _operation("receive", "crm.callbacks"),
    }  # fmt: skip


def _reply(channel: str, message: str) -> JsonObject:
    answered = [{"$ref": f"#/channels/{channel}/messages/{message}"}]
    return {"reply": {"channel": {"$ref": f"#/channels/{channel}"}, "messages": answered}}


def _operation(action: str, channel: str, only: Sequence[str] = ()) -> JsonObject:
    operation: JsonObject = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}
    if only:
        chosen = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in only]
        operation["messages"] = chosen
    return operation


# --- messages and schemas ------------------------------------------------------------------------


def _messages(known: Sequence[Contract]) -> JsonObject:
    return {one.key: _message(one) for one in known}


def _message(one: Contract) -> JsonObject:
    (payload,), _ = components([one.shape], _SCHEMAS)
    message: JsonObject = {
        "name": one.name,
        "title": one.name,
        "summary": one.meaning,
        "contentType": {"events": STRUCTURED}.get(one.family, "application/json"),
        "payload": payload,
    }
    if one.family == "events":
        message["description"] = f"In a feed: an array of them, `{BATCH}`."
    if one.family == "envelopes":
        message["headers"] = {"$ref": _SCHEMAS.format(name=_HEADERS)}
    return message


def _schemas(known: Sequence[Contract]) -> Any:
    _, found = components([one.shape for one in known], _SCHEMAS)
    return {**found, _HEADERS: _headers()}


def _headers() -> JsonObject:
    """A CloudEvent in binary mode: its attributes as headers."""
    ((_, found),) = components([Attributes], _SCHEMAS)[1].items()
    return {
        "title": _HEADERS,
        "type": "object",
        "properties": {f"{AMQP_PREFIX}{name}": one for name, one in found["properties"].items()},
        "required": [f"{AMQP_PREFIX}{name}" for name in found["required"]],
    }


def written() -> bytes:
    """The document as it is kept and handed out."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"
