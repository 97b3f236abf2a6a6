"""What foreign systems say by themselves, packed for an inbox of ours, where repeats are known."""

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec

from orderkeep.bridge.crm import CRM, Said
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.tray import NO_STATUS, Unknown
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId, WorkOrderRef, order_no_of
from orderkeep.orders.messages import CRM_WORD, MES_WORD, MesSaid

_SCHEMA_VERSION = 1
ORDER_KEY = 64
"""What a stranger's reference is cut to; one of ours is shorter."""


def envelope_of(system: str, said_as: str, job: MesJob, status: str, now: datetime) -> Envelope:
    """The envelope of one word of a MES; ``said_as`` is its name there."""
    order_no = order_no_of(job.reference)
    body = MesSaid(order_no, WorkOrderRef(job.reference), status, job.mes_id)
    return _packed(MES_WORD, system, said_as, order_no, msgspec.json.encode(body), now)


def heard(system: str, said_as: str, job: MesJob | Unknown, now: datetime) -> Envelope | Unknown:
    """The same, or that it says nothing: a job without a status has not been anywhere."""
    if isinstance(job, Unknown):
        return job
    if job.status is None:
        return Unknown(system, NO_STATUS, msgspec.json.encode(msgspec.to_builtins(job)), said_as)
    return envelope_of(system, said_as, job, job.status, now)


def command_of(said: Said, now: datetime) -> Envelope | Unknown:
    """The envelope of what a CRM wants; by its id a repeat is known, whichever way it comes."""
    if isinstance(said, Unknown):
        return said
    return _packed(CRM_WORD, CRM, f"id:{said.id}", said.order_no, msgspec.json.encode(said), now)


def _packed(
    kind: str, system: str, said_as: str, about: str, body: bytes, now: datetime
) -> Envelope:
    digest = hashlib.sha256(f"{system}\n{said_as}".encode()).digest()
    return Envelope(
        id=EnvelopeId(str(UUID(bytes=digest[:16]))),
        kind=kind,
        schema_version=_SCHEMA_VERSION,
        order_key=about[:ORDER_KEY],
        at=now,
        trace_id=digest[:16].hex(),
        body=body,
    )
