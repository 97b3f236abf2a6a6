"""An envelope as an AMQP message: what delivery reads is in the headers, the body as it was."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import aio_pika
import msgspec

from orderkeep.delivery.cloud_events import AMQP_PREFIX, attributes, of_envelope
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import EnvelopeId

# As long as the inbox's columns, and without the one character that no database keeps in a text.
_ID_LENGTH, _KIND_LENGTH, _KEY_LENGTH, _TRACE_LENGTH = 200, 40, 64, 32
_PLAIN = r"^[^\x00]*$"


class NotAnEnvelope(Refused):
    """A message whose headers are not those of an envelope."""


class _Headers(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=_ID_LENGTH, pattern=_PLAIN)]
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=_KIND_LENGTH, pattern=_PLAIN)]
    schema_version: Annotated[int, msgspec.Meta(ge=0, le=32_767)]
    order_key: Annotated[str, msgspec.Meta(min_length=1, max_length=_KEY_LENGTH, pattern=_PLAIN)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    trace_id: Annotated[str, msgspec.Meta(max_length=_TRACE_LENGTH, pattern=_PLAIN)]


def message(envelope: Envelope) -> aio_pika.Message:
    """The message that carries an envelope: persistent, its body untouched.

    It is a CloudEvent in binary mode as well, for a maker's own programs that listen.
    """
    return aio_pika.Message(
        envelope.body,
        headers={
            "id": envelope.id,
            "kind": envelope.kind,
            "schema_version": envelope.schema_version,
            "order_key": envelope.order_key,
            "at": envelope.at.isoformat(),
            "trace_id": envelope.trace_id,
            **attributes(of_envelope(envelope), AMQP_PREFIX),
        },
        message_id=envelope.id,
        type=envelope.kind,
        app_id="orderkeep",
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def envelope(headers: Mapping[str, Any] | None, body: bytes) -> Envelope:
    """The envelope in a message.

    Raises:
        NotAnEnvelope: a header is missing or is not what it should be.
    """
    try:
        read = msgspec.convert(dict(headers or {}), _Headers)
    except msgspec.ValidationError as error:
        raise NotAnEnvelope(str(error)) from error
    return Envelope(
        EnvelopeId(read.id),
        read.kind,
        read.schema_version,
        read.order_key,
        read.at,
        read.trace_id,
        body,
    )


def foreign_id(said: object) -> str | None:
    """What a message that is no envelope calls itself, short enough to be kept."""
    return str(said).replace("\x00", "")[:_ID_LENGTH] if said else None
