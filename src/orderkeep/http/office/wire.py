"""The office's wire shapes, and how they are made of rows and orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from orderkeep.access.people import masked, masked_contact
from orderkeep.access.rights import Role, may
from orderkeep.board.actions import Viewer, row_actions
from orderkeep.board.ports import Submitted
from orderkeep.kernel.money import Money
from orderkeep.orders.view import BoardRow


class MoneyShape(msgspec.Struct, frozen=True):
    """An amount: strings, never floats."""

    amount: str
    currency: str


class PriceShape(msgspec.Struct, frozen=True):
    """The price region in a list."""

    state: str
    total: MoneyShape | None


class HoldShape(msgspec.Struct, frozen=True):
    reason: str
    until: datetime | None


class ClaimShape(msgspec.Struct, frozen=True):
    operator: str
    operator_name: str
    until: datetime | None


class RowShape(msgspec.Struct, frozen=True):
    """An order in a list."""

    order_no: str
    client_ref: str | None
    channel: str
    partner: str | None
    stage: str
    stage_since: datetime
    created_at: datetime
    changed_at: datetime
    priority: int
    due_at: datetime | None
    due_owner: str | None
    risk: str
    promise_at: datetime | None
    summary: str
    pieces: int
    price: PriceShape
    hold: HoldShape | None
    claim: ClaimShape | None
    mes_state: str | None
    needs: str | None
    version: int
    can: Sequence[str]


class CustomerShape(msgspec.Struct, frozen=True):
    """Who it is for; masked for those without the right to see it."""

    name: str | None
    email: str | None
    phone: str | None
    masked: bool


class Names(msgspec.Struct, frozen=True):
    """What logins and partner ids are called."""

    people: Mapping[str, str]
    partners: Mapping[str, str]


encoder = msgspec.json.Encoder()


def row_shape(row: BoardRow, names: Names, viewer: Viewer) -> RowShape:
    """A row as this viewer gets it."""
    partner = row.partner_id and names.partners.get(row.partner_id, row.partner_id)
    return RowShape(
        order_no=row.order_no,
        client_ref=row.client_ref,
        channel=row.channel,
        partner=partner,
        stage=row.stage,
        stage_since=row.stage_since,
        created_at=row.created_at,
        changed_at=row.changed_at,
        priority=row.priority,
        due_at=row.due_at,
        due_owner=row.due_owner,
        risk=row.risk,
        promise_at=row.promise_at,
        summary=row.summary,
        pieces=row.pieces,
        price=PriceShape(row.price_state, _total(row)),
        hold=HoldShape(row.hold_reason, row.hold_until) if row.hold_reason is not None else None,
        claim=_claim(row, names),
        mes_state=row.mes_state,
        needs=row.needs_person,
        version=row.version,
        can=row_actions(row, viewer),
    )


def money(amount: Money | None) -> MoneyShape | None:
    """Money as it travels."""
    return MoneyShape(str(amount.amount), amount.currency) if amount else None


def customer_shape(submitted: Submitted, role: Role) -> CustomerShape:
    """The client, as far as a role may see."""
    told = submitted.customer
    name, email, phone = told.get("name"), told.get("email"), told.get("phone")
    if may(role, "contact.view"):
        return CustomerShape(name, email, phone, masked=False)
    return CustomerShape(
        masked(name) if name else None,
        masked_contact(email) if email else None,
        masked_contact(phone) if phone else None,
        masked=True,
    )


def address(submitted: Submitted, role: Role) -> str | None:
    """Where it goes, as far as a role may see."""
    where = submitted.delivery_address
    if where is None or may(role, "contact.view"):
        return where
    return masked_contact(where)


def facts(**members: Any) -> bytes:
    """A JSON object."""
    return encoder.encode(members)


def _total(row: BoardRow) -> MoneyShape | None:
    if row.price_total is None or row.price_currency is None:
        return None
    return MoneyShape(row.price_total, row.price_currency)


def _claim(row: BoardRow, names: Names) -> ClaimShape | None:
    operator = row.claim_operator
    if operator is None:
        return None
    return ClaimShape(operator, names.people.get(operator, operator), row.claim_until)
