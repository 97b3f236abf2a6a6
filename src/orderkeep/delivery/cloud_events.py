"""Messages as CloudEvents 1.0, which other people's programs can read without knowing us.

Structured: one JSON object that holds everything. Binary: the body stays as it is, and what is to
be known about it travels in headers, as the bindings of AMQP and Kafka have it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import EnvelopeId

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
AMQP_PREFIX = "cloudEvents:"
KAFKA_PREFIX = "ce_"
ENVELOPES = "/orderkeep/envelopes"
"""The source of our own envelopes; no two of them have the same id."""

_TYPE = re.compile(r"(?P<kind>.+)\.v(?P<version>\d{1,5})")
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")


class NotOurs(Refused):
    """A CloudEvent that is none of our envelopes."""


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an event without looking into it.

    ``partitionkey`` and ``traceparent`` are documented extensions of CloudEvents; ``traceid`` is
    ours: the trace of an envelope, which need not be one of W3C's.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Annotated[str, msgspec.Meta(min_length=1)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    subject: str | UnsetType = UNSET
    partitionkey: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    traceid: str | UnsetType = UNSET


class CloudEvent(Attributes, frozen=True, kw_only=True):
    """An event for other people's programs; ``data`` is JSON, as it was written."""

    datacontenttype: str = "application/json"
    data: msgspec.Raw


def structured(event: CloudEvent) -> bytes:
    """The event as one JSON object."""
    return msgspec.json.encode(event)


def batch(events: Sequence[CloudEvent]) -> bytes:
    """Events as one JSON array."""
    return msgspec.json.encode(events)


def read(said: bytes) -> CloudEvent:
    """The event of a JSON object.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(said, type=CloudEvent)


def attributes(event: CloudEvent, prefix: str) -> dict[str, str]:
    """Everything but the data, as headers; the content type has a place of its own in each."""
    known = {name: getattr(event, name) for name in Attributes.__struct_fields__}
    known["time"] = event.time.isoformat()
    return {f"{prefix}{name}": value for name, value in known.items() if value is not UNSET}


def of_envelope(envelope: Envelope) -> CloudEvent:
    """An envelope as a CloudEvent; its data is the body, whatever that is."""
    return CloudEvent(
        specversion="1.0",
        id=envelope.id,
        source=ENVELOPES,
        type=f"{envelope.kind}.v{envelope.schema_version}",
        subject=envelope.order_key,
        time=envelope.at,
        partitionkey=envelope.order_key,
        traceid=envelope.trace_id or UNSET,
        data=msgspec.Raw(envelope.body),
    )


def envelope_of(event: CloudEvent) -> Envelope:
    """The envelope of a CloudEvent that ``of_envelope`` made.

    Raises:
        NotOurs: it did not.
    """
    known = _TYPE.fullmatch(event.type)
    if event.source != ENVELOPES or event.subject is UNSET or known is None:
        raise NotOurs(f"source {event.source[:80]!r} or type {event.type[:80]!r}")
    return Envelope(
        id=EnvelopeId(event.id),
        kind=known["kind"],
        schema_version=int(known["version"]),
        order_key=event.subject,
        at=event.time,
        trace_id="" if event.traceid is UNSET else event.traceid,
        body=bytes(event.data),
    )


def of_attributes(headers: Mapping[str, str], prefix: str, body: bytes) -> CloudEvent:
    """The event whose attributes came as headers; strangers' extensions are left out.

    Raises:
        NotOurs: something is missing, or is not what it should be.
    """
    found = {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        if name.startswith(prefix)
    }
    try:
        known = msgspec.convert(found, Attributes)
    except msgspec.ValidationError as error:
        raise NotOurs(str(error)) from error
    return CloudEvent(**msgspec.structs.asdict(known), data=msgspec.Raw(body))


def traceparent(trace_id: str, what: str) -> str | UnsetType:
    """The trace as W3C writes it; the span is made from what is told, so a repeat has the same."""
    if not _TRACE.fullmatch(trace_id):
        return UNSET
    return f"00-{trace_id}-{sha256(what.encode()).hexdigest()[:16]}-00"
