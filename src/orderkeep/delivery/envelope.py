"""A message packed for travel."""

from datetime import datetime

import msgspec

from orderkeep.kernel.ids import EnvelopeId


class Envelope(msgspec.Struct, frozen=True):
    """A message packed for travel; delivery reads everything but ``body``.

    Envelopes with the same ``order_key`` arrive in the order they were saved.
    """

    id: EnvelopeId
    kind: str
    schema_version: int
    order_key: str
    at: datetime
    trace_id: str
    body: bytes
    """JSON."""
