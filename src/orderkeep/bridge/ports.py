"""What the bridge asks of a MES, whichever it is: the built-in floor, or one behind HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.errors import Refused, Unavailable, Uncertain
from orderkeep.kernel.ids import OrderNo, WorkOrderRef


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What the MES is asked to make: one job for all positions of an order.

    ``positions`` are wire-ready mappings (``position``, ``material``, ``quantity``, ``file_id`` or
    ``sku``, ``file_sha256``, ``engraving``); ``body_sha256`` is the hash of the acknowledged
    submission.
    """

    reference: WorkOrderRef
    order_no: OrderNo
    positions: Sequence[dict[str, Any]]
    promise_at: datetime | None
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a MES can be relied on for.

    ``idempotency``: ``none``, ``key`` (it honours our Idempotency-Key) or ``reference`` (it refuses
    or answers a repeated external id with the same job). ``visibility_lag``: how long after an
    effect a look-up may still deny it.
    """

    idempotency: str
    lookup: bool
    recall: bool
    listing: bool
    visibility_lag: timedelta
    tells: bool = False
    """It says by itself how far it has come; nobody needs to ask."""


@dataclass(frozen=True, slots=True)
class MesJob:
    """A job as the MES shows it; ``status`` is the MES's own word, or None when it tells none."""

    mes_id: str
    reference: str
    status: str | None


RECALLED = frozenset({"recalled", "cancelled", "canceled"})
"""Usual status words of a job that will not be made; a MES may have others."""


class MesRejected(Refused):
    """The MES understood and said no; ``facts["status"]`` and ``facts["reason"]`` tell more."""


class MesUnavailable(Unavailable):
    """Surely not done: no connection was made, or the MES said it had no room (429, 503)."""


class MesOutcomeUnknown(Uncertain):
    """Sent, and no trustworthy answer: timeout, reset, garbage, a wrong id, HTML, a 5xx."""


class RecallRefused(Refused):
    """The MES will not give the work order back: it is being made, or it cannot recall."""


class NotShown(Refused):
    """The MES answers, and shows no such job; that alone does not prove that there is none."""


class Mes(Protocol):
    """A manufacturing system. Every call has a deadline of its own."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def submit(self, work_order: WorkOrder) -> MesJob:
        """Ask for a work order to be made; returning means the MES has it under our reference.

        Raises:
            MesRejected: it said no, and will say no again.
            MesUnavailable: the bytes surely did no harm; send again later.
            MesOutcomeUnknown: it may have been done.
        """
        ...

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        """All jobs the MES shows for a reference; empty when it shows none.

        Raises:
            MesUnavailable: no usable answer; says nothing about the job.
        """
        ...

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        """One page of all jobs and the cursor of the next page."""
        ...

    async def recall(self, reference: WorkOrderRef) -> None:
        """Take a work order back; returning means it will not be made.

        Raises:
            RecallRefused: it is being made, made, or the MES cannot recall.
            NotShown: there is nothing to be seen of it, so nothing was taken back.
            MesUnavailable: no usable answer; says nothing about the job.
        """
        ...


@runtime_checkable
class Changes(Protocol):
    """A MES that keeps a feed of what changed."""

    async def changes(self, cursor: str | None) -> tuple[Sequence[MesJob | Unknown], str | None]:
        """Jobs as they were when they took a new status, oldest first, from a cursor on.

        What nobody understands comes back as such. The cursor that comes back continues behind the
        last of them, also later.

        Raises:
            MesUnavailable: no usable answer.
        """
        ...
