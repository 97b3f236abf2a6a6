"""An envelope as a Kafka message: a CloudEvent in binary mode, keyed by its order."""

from collections.abc import Mapping

import msgspec

from orderkeep.delivery.cloud_events import (
    KAFKA_PREFIX,
    NotOurs,
    attributes,
    envelope_of,
    of_attributes,
    of_envelope,
)
from orderkeep.delivery.envelope import Envelope

# As long as the inbox's columns, and without the one character that no database keeps in a text.
_LENGTHS = {"id": 200, "kind": 40, "order_key": 64, "trace_id": 32}
_HIGHEST_VERSION = 32_767

Value = str | bytes | None
Headers = dict[str, Value] | list[tuple[str, Value]]


class Read(msgspec.Struct, frozen=True):
    """A message, read; ``envelope`` is None if it is not one, and ``why`` says what is wrong."""

    id: str | None
    body: bytes
    envelope: Envelope | None
    why: str = ""


def headers(envelope: Envelope) -> Headers:
    """Everything about an envelope but its body."""
    found = attributes(of_envelope(envelope), KAFKA_PREFIX)
    packed = {"content-type": "application/json", **found}
    return dict(packed)


def read(said: Headers | None, body: bytes) -> Read:
    """Read what was fetched; whatever it is, it can be kept."""
    texts = _texts(said)
    name = texts.get(f"{KAFKA_PREFIX}id", "").replace("\x00", "")[: _LENGTHS["id"]] or None
    try:
        found = envelope_of(of_attributes(texts, KAFKA_PREFIX, body))
        _require_room(found)
    except NotOurs as error:
        return Read(name, body, None, f"not an envelope: {error}")
    return Read(name, body, found)


def _texts(said: Headers | None) -> Mapping[str, str]:
    """Headers as texts; of several with one name the last counts."""
    return {
        name: value if isinstance(value, str) else (value or b"").decode(errors="replace")
        for name, value in dict(said or ()).items()
    }


def _require_room(found: Envelope) -> None:
    for name, length in _LENGTHS.items():
        value = getattr(found, name)
        if len(value) > length or "\x00" in value or (not value and name != "trace_id"):
            raise NotOurs(f"no room for its {name}")
    if found.schema_version > _HIGHEST_VERSION:
        raise NotOurs("no room for its schema_version")
