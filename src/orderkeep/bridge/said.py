"""What a foreign MES says by itself, packed for the bridge's inbox, where repeats are known."""

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec

from orderkeep.bridge.ports import MesJob
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId, WorkOrderRef, order_no_of
from orderkeep.orders.messages import MES_WORD, MesSaid

_SCHEMA_VERSION = 1
ORDER_KEY = 64
"""What a stranger's reference is cut to; one of ours is shorter."""


def envelope_of(system: str, said_as: str, job: MesJob, status: str, now: datetime) -> Envelope:
    """The envelope of one word; ``said_as`` is its name at the MES, so that a repeat is known."""
    digest = hashlib.sha256(f"{system}\n{said_as}".encode()).digest()
    order_no = order_no_of(job.reference)
    body = MesSaid(order_no, WorkOrderRef(job.reference), status, job.mes_id)
    return Envelope(
        id=EnvelopeId(str(UUID(bytes=digest[:16]))),
        kind=MES_WORD,
        schema_version=_SCHEMA_VERSION,
        order_key=order_no[:ORDER_KEY],
        at=now,
        trace_id=digest[:16].hex(),
        body=msgspec.json.encode(body),
    )
