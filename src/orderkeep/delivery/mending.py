"""Makes an envelope of a message that could not be read: a person says what was missing."""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import EnvelopeId

NO_TRACE = "0" * 32
"""Whatever caused it is not known any more."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading somebody's JSON may end in."""

_PLAIN = r"^[^\x00]*$"


class Mended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person has to say of a message, so that it can be sent; ``body`` is any JSON."""

    kind: Annotated[str, Meta(min_length=1, max_length=40, pattern=_PLAIN)]
    schema_version: Annotated[int, Meta(ge=0, le=32_767)]
    order_key: Annotated[str, Meta(min_length=1, max_length=64, pattern=_PLAIN)]
    body: msgspec.Raw


def mended(text: bytes, id_: EnvelopeId, now: datetime) -> Envelope:
    """The envelope that a person has written down.

    Raises:
        Invalid: it is none; each fault says where.
    """
    try:
        said = msgspec.json.decode(text, type=Mended)
    except UNREADABLE as error:
        raise Invalid([Fault(_place(str(error)), "schema", str(error))]) from error
    body = bytes(said.body)
    return Envelope(id_, said.kind, said.schema_version, said.order_key, now, NO_TRACE, body)


def draft(raw: bytes) -> str:
    """What a person begins with: all that can be told from the message itself."""
    try:
        body: Any = msgspec.json.decode(raw)
    except UNREADABLE:
        body = {}
    told = body if isinstance(body, dict) else {}
    number = told.get("order_no")
    facts = {
        "kind": "",
        "schema_version": 1,
        "order_key": number if isinstance(number, str) else "",
        "body": body,
    }
    return msgspec.json.format(msgspec.json.encode(facts), indent=2).decode()


def _place(sentence: str) -> str:
    """Where msgspec found a fault, as a pointer: it ends its sentences with a path."""
    found = re.search(r"`\$\.?([^`]*)`$", sentence)
    return "/" + found[1].replace(".", "/") if found else ""
