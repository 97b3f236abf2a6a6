"""What the bridge does next with a work order: a pure function of its row and the MES's ways."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from orderkeep.bridge.ports import Capabilities
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders.order import ARRIVED, Delivered


class Delivery(msgspec.Struct, frozen=True):
    """A work order's way to a foreign system, as its row says."""

    destination: str
    reference: WorkOrderRef
    order_no: OrderNo
    state: Delivered
    since: datetime
    attempts: int
    next_at: datetime | None
    """When there is something to do; None when there is not, or a person has to decide."""
    absent_seen: int
    """How often in a row a look-up after the visibility lag has denied it."""
    last_sent_at: datetime | None
    """When the last connection that may have carried it was surely over."""
    holder: str | None
    lease_token: int
    recall_wanted: bool
    mes_id: str | None
    detail: str | None


class Do(Enum):
    """The bridge's moves."""

    SEND = "send"
    SUSPECT = "suspect"
    """Its sender is gone: it may have been done."""
    LOOK = "look"
    ASK = "ask"
    """See how far the MES has come with it."""
    RECALL = "recall"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Move:
    """What to do; ``until`` goes with WAIT and is None when only a person can go on."""

    do: Do
    until: datetime | None = None


ABSENT_TWICE = 2
"""A look-up has to deny a work order so often before it is proven absent."""


def next_move(row: Delivery, mes: Capabilities, now: datetime) -> Move:
    """The next move for a row whose time has come."""
    match row.state:
        case Delivered.PENDING:
            return Move(Do.SEND)
        case Delivered.SENDING:
            return Move(Do.SUSPECT)
        case Delivered.UNCERTAIN:
            return _settle(row, mes, now)
        case state if state in ARRIVED and row.recall_wanted:
            return Move(Do.RECALL)
        case state if state in ARRIVED and mes.lookup and not mes.tells:
            return Move(Do.ASK)
        case _:
            return Move(Do.WAIT)


def _settle(row: Delivery, mes: Capabilities, now: datetime) -> Move:
    if mes.idempotency in {"key", "reference"} and not row.recall_wanted:
        return Move(Do.SEND)  # The MES itself makes the repeat safe.
    if not mes.lookup:
        return Move(Do.WAIT)
    visible_at = (row.last_sent_at or row.since) + mes.visibility_lag
    return Move(Do.LOOK) if visible_at <= now else Move(Do.WAIT, visible_at)


def proven_absent(absent_seen: int) -> bool:
    """Whether so many denials in a row, each after the visibility lag, are proof."""
    return absent_seen >= ABSENT_TWICE
