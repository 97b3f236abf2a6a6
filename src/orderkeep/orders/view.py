"""The board's row: everything a list shows, computed when the order changes, never when read."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from orderkeep.kernel.ids import OrderNo, PartnerId
from orderkeep.orders.home import is_made_here
from orderkeep.orders.order import (
    ARRIVED,
    FINAL,
    MAKING,
    STUCK,
    Order,
    Position,
    PriceState,
    Stage,
    return_is_open,
)
from orderkeep.orders.policy import Policy
from orderkeep.orders.timers import due, timer

_TO_BE_MADE = frozenset({Stage.MANUFACTURING_APPROVED, *MAKING, Stage.SHIPPED, Stage.CLOSED})
ELSEWHERE = "elsewhere"
"""The way of a mirrored order's work order to the MES: the old road's, once it is to be made."""


class BoardRow(msgspec.Struct, frozen=True):
    """An order as lists show it. Instants are UTC; empty is None."""

    order_no: OrderNo
    version: int
    partner_id: PartnerId | None
    channel: str
    client_ref: str | None
    body_sha256: str | None
    stage: Stage
    stage_since: datetime
    created_at: datetime
    changed_at: datetime
    priority: int
    due_at: datetime | None
    due_owner: str | None
    """Who owes the next step: ``engine seller client operator head support carrier``."""
    timer_at: datetime | None
    risk: str
    promise_at: datetime | None
    summary: str
    """What is made, in a few words: material, quantity, engraving or not."""
    pieces: int
    price_state: str
    price_total: str | None
    price_currency: str | None
    hold_reason: str | None
    hold_until: datetime | None
    claim_operator: str | None
    claim_until: datetime | None
    work_order_ref: str | None
    mes_state: str | None
    needs_person: str | None
    """``price cancel diverged uncertain rejected dead recalled file``: what a person decides."""
    is_open: bool
    is_claimable: bool


def board_row(order: Order, policy: Policy, changed_at: datetime) -> BoardRow:
    """The row of an order as it is now."""
    owed = due(order, policy)
    work = order.work_order
    return BoardRow(
        order_no=order.no,
        version=order.version,
        partner_id=order.partner_id,
        channel=order.channel,
        client_ref=order.client_ref,
        body_sha256=order.body_sha256,
        stage=order.stage,
        stage_since=order.stage_since,
        created_at=order.created_at,
        changed_at=changed_at,
        priority=order.priority,
        due_at=owed.at if owed else None,
        due_owner=owed.owner if owed else None,
        timer_at=timer(order, policy),
        risk=order.risk,
        promise_at=order.promise_at,
        summary=summary(order.positions),
        pieces=sum(position.quantity for position in order.positions),
        price_state=order.price.state,
        price_total=str(order.price.total.amount) if order.price.total else None,
        price_currency=order.price.total.currency if order.price.total else None,
        hold_reason=order.hold.reason if order.hold else None,
        hold_until=order.hold.until if order.hold else None,
        claim_operator=order.claim.operator if order.claim else None,
        claim_until=order.claim.until if order.claim else None,
        work_order_ref=work.reference if work else None,
        mes_state=mes_state(order),
        needs_person=needs_person(order),
        is_open=order.stage not in FINAL or return_is_open(order),
        is_claimable=is_claimable(order),
    )


def mes_state(order: Order) -> str | None:
    """How far the current work order has come; None while nothing is to be made."""
    if order.work_order is not None:
        return order.work_order.delivered
    return ELSEWHERE if not is_made_here(order.home) and order.stage in _TO_BE_MADE else None


def is_claimable(order: Order) -> bool:
    """Whether an operator may take it: approved, at the MES, free, nothing in its way."""
    work = order.work_order
    return (
        order.stage is Stage.MANUFACTURING_APPROVED
        and order.hold is None
        and order.claim is None
        and order.cancel_request is None
        and work is not None
        and work.delivered in ARRIVED
    )


def needs_person(order: Order) -> str | None:
    """Which decision waits for a person, the gravest first."""
    if order.diverged:
        return "diverged"  # Also after the end: a cancelled order that is being made is no rest.
    if order.stage in FINAL:
        return None
    if order.work_order and order.work_order.delivered in STUCK:
        return str(order.work_order.delivered)
    if order.cancel_request and (order.cancel_request.refused or order.stage in MAKING):
        return "cancel"
    if order.file_rejected:
        return "file"
    if order.price.state in {PriceState.MANUAL, PriceState.FAILED, PriceState.EXPIRED}:
        return "price"
    return None


def summary(positions: Sequence[Position]) -> str:
    """What is made: ``au585_yellow × 2, SKU-1 × 1``; three lines and a count of the rest."""
    parts = [
        f"{position.sku or position.material} × {position.quantity}" for position in positions[:3]
    ]
    more = len(positions) - len(parts)
    return ", ".join(parts) + (f" +{more}" if more > 0 else "")
