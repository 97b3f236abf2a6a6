"""What intake asks of the store: one hot path, so that many submissions share a commit."""

from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from orderkeep.files.ports import FileStore
from orderkeep.intake.arrivals import Arrival
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo, PartnerId
from orderkeep.orders.events import Cause, OrderSubmitted
from orderkeep.orders.ports import OrderStore


class Submission(msgspec.Struct, frozen=True):
    """A checked submission, ready to be kept.

    ``body`` is canonical JSON (sorted keys, no blanks, no nulls) and ``body_sha256`` its hash in
    hex. ``event`` is the first event of the order; ``envelope_id`` names its announcement. With an
    ``arrival`` the row of the message it came in is written with it.
    """

    partner_id: PartnerId
    client_ref: str
    key: str
    body: bytes
    body_sha256: str
    event: OrderSubmitted
    cause: Cause
    envelope_id: str
    at: datetime
    arrival: Arrival | None = None


class Acceptance(msgspec.Struct, frozen=True):
    """The proof that a submission is stored; ``replayed`` when it had been stored before."""

    order_no: OrderNo
    client_ref: str
    accepted_at: datetime
    replayed: bool


class KeyReused(Refused):
    """The idempotency key has already been used with another body."""


class ClientRefTaken(Refused):
    """The client's number belongs to an order with another body; ``facts["order_no"]`` names it."""


class Backlog(NamedTuple):
    """Submissions that wait to be kept: how many, and how long the oldest has, in seconds."""

    waiting: int
    oldest_s: float


NOTHING_WAITS = Backlog(0, 0.0)


class AcceptLane(Protocol):
    """Keeps submissions: order, event, outbox, idempotency row and counters in one transaction."""

    @property
    def backlog(self) -> Backlog:
        """What waits now, with what is being kept."""
        ...

    async def accept(self, submission: Submission) -> Acceptance:
        """Keep a submission once; returning means it is on disk.

        Raises:
            KeyReused, ClientRefTaken, MessageChanged: nothing was stored.
            StoreBusy: nothing was stored; try again later.
            CommitOutcomeUnknown: send it again with the same key.
        """
        ...

    def leave(self, submission: Submission, answer: Answer) -> None:
        """The same without waiting: ``answer`` is told the acceptance, or why there is none.

        Raises:
            StoreBusy: nothing was stored, and nobody will be told.
        """
        ...


class Receipt(msgspec.Struct, frozen=True):
    """What was answered when a submission was kept."""

    order_no: OrderNo
    client_ref: str
    accepted_at: datetime
    body_sha256: str


class ReceiptStore(Protocol):
    """Receipts given."""

    def find(self, partner_id: PartnerId, key: str, client_ref: str) -> Receipt | None:
        """The receipt given for the key, else for the client's number; None for neither."""
        ...


class IntakeWork(Protocol):
    """What intake reads before it accepts."""

    @property
    def files(self) -> FileStore: ...

    @property
    def orders(self) -> OrderStore: ...

    @property
    def receipts(self) -> ReceiptStore: ...
