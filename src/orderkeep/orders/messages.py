"""What our envelopes say inside: one shape for each kind and schema version.

A shape never changes. What has to be said differently is a new version with a struct of its own
beside the old one, which stays readable; ``docs/reference/schemas`` keeps what was promised.
"""

from collections.abc import Mapping

import msgspec

from orderkeep.kernel.ids import OrderNo, WorkOrderRef

PRICE_WANTED = "price.wanted"
WORK_ORDER_WANTED = "work_order.wanted"
RECALL_WANTED = "work_order.recall_wanted"
ORDER_CANCELLED = "order.cancelled"
FLOOR_WORD = "floor.word"
MES_WORD = "mes.word"
ORDER_CHANGED = "order.changed"
CRM_WORD = "crm.word"


class PriceWanted(msgspec.Struct, frozen=True):
    """A price is wanted for this version of the order."""

    order_no: OrderNo
    version: int


class WorkOrderWanted(msgspec.Struct, frozen=True):
    """The order is to be made, under this reference at the MES."""

    order_no: OrderNo
    reference: WorkOrderRef


class RecallWanted(msgspec.Struct, frozen=True):
    """The work order of this reference is wanted back."""

    order_no: OrderNo
    reference: WorkOrderRef


class OrderCancelled(msgspec.Struct, frozen=True):
    """The order will not be made; the work order of this reference has to go."""

    order_no: OrderNo
    reference: WorkOrderRef


class FloorWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the built-in floor says of a work order.

    ``word``: ``accepted started completed packaging shipped handed_back scrapped recalled``.
    ``purpose`` goes with ``scrapped``: ``rework`` or ``cannot_be_made``.
    """

    word: str
    operator: str | None = None
    reason: str | None = None
    purpose: str | None = None
    tracking_no: str | None = None
    carrier: str | None = None


class FloorSaid(msgspec.Struct, frozen=True):
    """The built-in floor says how far a work order has come; ``seq`` counts its words."""

    order_no: OrderNo
    reference: WorkOrderRef
    seq: int
    said: FloorWord


class MesSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """A foreign MES said by itself how far a work order has come, in its own ``status`` word."""

    order_no: OrderNo
    reference: WorkOrderRef
    status: str
    mes_id: str | None = None


class OrderChanged(msgspec.Struct, frozen=True):
    """Something happened to the order that its sellers' CRM has to know of, up to ``version``."""

    order_no: OrderNo
    version: int


class CrmSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """A CRM wants something done with an order: ``approve``, ``close`` or ``cancel``.

    ``id`` is the CRM's own name for the command; ``version`` the newest it had seen of the order.
    """

    order_no: OrderNo
    command: str
    id: str
    reason: str | None = None
    version: int | None = None


BODIES: Mapping[tuple[str, int], type[msgspec.Struct]] = {
    (PRICE_WANTED, 1): PriceWanted,
    (WORK_ORDER_WANTED, 1): WorkOrderWanted,
    (RECALL_WANTED, 1): RecallWanted,
    (ORDER_CANCELLED, 1): OrderCancelled,
    (FLOOR_WORD, 1): FloorSaid,
    (MES_WORD, 1): MesSaid,
    (ORDER_CHANGED, 1): OrderChanged,
    (CRM_WORD, 1): CrmSaid,
}
"""The shape of the body by kind and schema version; what was ever sent stays here."""
