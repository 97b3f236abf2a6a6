"""One table of who may do what; every guard, every ``can`` and the tests read it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from orderkeep.kernel.errors import Refused


class Role(StrEnum):
    """What a person is here for."""

    SELLER = "seller"
    OPERATOR = "operator"
    HEAD = "head"
    SUPPORT = "support"
    ADMIN = "admin"


class NotAllowed(Refused):
    """The person's role does not have this right; ``facts["right"]`` names it."""


_OPERATOR = frozenset(
    {
        "work.claim",
        "work.start",
        "work.done",
        "work.pack",
        "work.ship",
        "work.release",
        "work.hand_back",
        "work.rework",
        "order.hold",
        "order.lift_own",
        "note.add",
    }
)
_SELLER = frozenset(
    {
        "order.create",
        "price.enter",
        "price.reprice",
        "order.approve",
        "order.cancel",
        "order.hold",
        "order.lift",
        "return.open",
        "return.resolve",
        "promise.set",
        "close",
        "note.add",
        "contact.view",
        "lost.settle",
    }
)
_HEAD = (_OPERATOR - {"order.lift_own"}) | {
    "work.reassign",
    "work.claim_for",
    "cannot_be_made",
    "priority.set",
    "order.lift",
    "order.cancel",
    "promise.set",
    "close",
    "ledger.view",
    "destination.pause",
    "unknown.view",
    "sources.view",
}
_SUPPORT = frozenset(
    {
        "note.add",
        "return.open",
        "contact.view",
        "delivery.settle",
        "ledger.view",
        "ledger.settle",
        "lost.import",
        "destination.pause",
        "lost.settle",
        "dead_letters.view",
        "dead_letters.replay",
        "unknown.view",
        "unknown.sort",
        "sources.view",
    }
)
_MANAGED = {"people.manage", "partners.manage", "sources.move"}
_ADMIN = _OPERATOR | _SELLER | _HEAD | _SUPPORT | _MANAGED

RIGHTS: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        Role.SELLER: _SELLER,
        Role.OPERATOR: _OPERATOR,
        Role.HEAD: _HEAD,
        Role.SUPPORT: _SUPPORT,
        Role.ADMIN: _ADMIN - {"order.lift_own"},
    }
)

ACTION_RIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "approve": "order.approve",
        "enter-price": "price.enter",
        "reprice": "price.reprice",
        "accept-price": "order.approve",
        "promise": "promise.set",
        "priority": "priority.set",
        "hold": "order.hold",
        "lift": "order.lift",
        "cancel": "order.cancel",
        "cancel-anyway": "order.cancel",
        "cancel-withdraw": "order.cancel",
        "note": "note.add",
        "return-open": "return.open",
        "return-inspect": "return.resolve",
        "return-resolve": "return.resolve",
        "close": "close",
        "replace-file": "order.create",
        "settle": "delivery.settle",
        "delivery-decide": "delivery.settle",
        "claim": "work.claim",
        "release": "work.release",
        "start": "work.start",
        "done": "work.done",
        "pack": "work.pack",
        "ship": "work.ship",
        "hand-back": "work.hand_back",
        "rework": "work.rework",
        "cannot-be-made": "cannot_be_made",
        "reassign": "work.reassign",
    }
)
"""Which right an action on an order needs."""


def may(role: Role, right: str) -> bool:
    """Whether a role has a right."""
    return right in RIGHTS[role]


def may_act(role: Role, action: str, *, own_hold: bool = False) -> bool:
    """Whether a role may try an action; an operator lifts only the holds they placed."""
    if action == "lift" and own_hold and may(role, "order.lift_own"):
        return True
    return may(role, ACTION_RIGHTS[action])


def require(role: Role, right: str) -> None:
    """Let a role pass that has the right.

    Raises:
        NotAllowed: it has not.
    """
    if not may(role, right):
        raise NotAllowed(f"the role {role} does not have the right {right}", right=right)
