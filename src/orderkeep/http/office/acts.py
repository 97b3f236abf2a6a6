"""What can be asked for on an order's page: each body's shape, and the command it becomes."""

# Builders of one table share one signature.
# ruff: noqa: ARG005

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from orderkeep.intake.strict_json import MULTILINE
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c

Reason = Annotated[str, Meta(min_length=1, max_length=500, extra=MULTILINE)]
Login = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]
_LARGEST = Decimal(10) ** 12


class Act(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An action on the order as it was seen: at ``version``."""

    version: Annotated[int, Meta(ge=1, le=2**31)]


class WithReason(Act, frozen=True, kw_only=True):
    reason: Reason


class EnterPrice(WithReason, frozen=True, kw_only=True):
    total: Annotated[str, Meta(min_length=1, max_length=20)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None


class Promise(WithReason, frozen=True, kw_only=True):
    promise_at: Instant


class Priority(WithReason, frozen=True, kw_only=True):
    priority: Annotated[int, Meta(ge=1, le=9)]


class HoldIt(WithReason, frozen=True, kw_only=True):
    owner: Annotated[str, Meta(pattern="^(client|seller|operator|head|support)$")]
    until: Instant
    stops_clock: bool = False


class Note(Act, frozen=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=2000, extra=MULTILINE)]


class Outcome(Act, frozen=True, kw_only=True):
    outcome: Annotated[str, Meta(pattern="^(return|repair|replace|refund|reject)$")]


class Why(Act, frozen=True, kw_only=True):
    why: Reason


class AnotherFile(Act, frozen=True, kw_only=True):
    position: Annotated[int, Meta(ge=1, le=50)]
    file_id: Word


class Settle(Act, frozen=True, kw_only=True):
    decision: Annotated[str, Meta(pattern="^(accept|ignore)$")]
    note: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


class Decide(Act, frozen=True, kw_only=True):
    decision: Annotated[str, Meta(pattern="^(there|send_again|give_up)$")]
    mes_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    note: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


class Ship(Act, frozen=True, kw_only=True):
    tracking_no: Annotated[str, Meta(min_length=1, max_length=100)]
    carrier: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class Reassign(WithReason, frozen=True, kw_only=True):
    operator: Login


@dataclass(frozen=True, slots=True)
class Kind:
    """An action: its body, and the command to the master; none when another part does it."""

    body: type[Act]
    command: Callable[[Any, str], c.OrderCommand] | None = None
    """From the body and the currency."""


def amount(text: str) -> Decimal:
    """An amount of money as people type it.

    Raises:
        Invalid: not a positive number of at most two decimals.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not (value.is_finite() and 0 < value < _LARGEST and value == round(value, 2)):
        message = "a positive number with at most two decimals"
        raise Invalid([Fault("/total", "format", message)])
    return value


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "approve": Kind(Act, lambda body, currency: c.ApproveOrder()),
        "enter-price": Kind(
            EnterPrice,
            lambda body, currency: c.EnterPrice(
                Money(amount(body.total), body.currency or currency), body.reason
            ),
        ),
        "reprice": Kind(WithReason, lambda body, currency: c.Reprice(body.reason)),
        "accept-price": Kind(Act, lambda body, currency: c.AcceptPrice()),
        "promise": Kind(
            Promise, lambda body, currency: c.ChangePromise(body.promise_at, body.reason)
        ),
        "priority": Kind(
            Priority, lambda body, currency: c.ChangePriority(body.priority, body.reason)
        ),
        "hold": Kind(
            HoldIt,
            lambda body, currency: c.PlaceHold(
                body.reason, body.owner, body.until, body.stops_clock
            ),
        ),
        "lift": Kind(WithReason, lambda body, currency: c.LiftHold(body.reason)),
        "cancel": Kind(WithReason, lambda body, currency: c.CancelOrder(body.reason)),
        "cancel-anyway": Kind(WithReason, lambda body, currency: c.CancelAnyway(body.reason)),
        "cancel-withdraw": Kind(WithReason, lambda body, currency: c.WithdrawCancel(body.reason)),
        "note": Kind(Note, lambda body, currency: c.AddNote(body.text)),
        "return-open": Kind(WithReason, lambda body, currency: c.OpenReturn(body.reason)),
        "return-inspect": Kind(Act, lambda body, currency: c.InspectReturn()),
        "return-resolve": Kind(Outcome, lambda body, currency: c.ResolveReturn(body.outcome)),
        "close": Kind(Why, lambda body, currency: c.CloseOrder(body.why)),
        "settle": Kind(
            Settle,
            lambda body, currency: c.SettleDivergence(
                f"{body.decision}: {body.note}" if body.note else body.decision
            ),
        ),
        "release": Kind(WithReason, lambda body, currency: c.ReleaseClaim(body.reason)),
        "reassign": Kind(
            Reassign, lambda body, currency: c.ReassignOrder(body.operator, body.reason)
        ),
        "replace-file": Kind(AnotherFile),
        "delivery-decide": Kind(Decide),
        "claim": Kind(Act),
        "start": Kind(Act),
        "done": Kind(Act),
        "pack": Kind(Act),
        "ship": Kind(Ship),
        "hand-back": Kind(WithReason),
        "rework": Kind(WithReason),
        "cannot-be-made": Kind(WithReason),
    }
)
