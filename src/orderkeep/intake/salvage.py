"""What else is wrong with a submission that has not even the right shape: all faults at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from orderkeep.intake.submission import MAX_ITEMS, CustomerBody, ItemBody, SubmissionBody
from orderkeep.kernel.errors import Fault

_LONGEST = 500


def readable(parsed: Any) -> SubmissionBody | None:
    """The parts of a parsed body that can be judged, in its shape; None if it is no object.

    What has the wrong type is left out, so it may seem missing: see ``news``.
    """
    if not isinstance(parsed, dict):
        return None
    items = parsed.get("items")
    customer = parsed.get("customer")
    listed = items[:MAX_ITEMS] if isinstance(items, list) else []
    return SubmissionBody(
        client_ref=_text(parsed, "client_ref") or "-",
        items=[_item(one if isinstance(one, dict) else {}) for one in listed],
        customer=_customer(customer if isinstance(customer, dict) else {}),
        promise_by=_text(parsed, "promise_by"),
    )


def news(found: Iterable[Fault], known: Sequence[Fault]) -> list[Fault]:
    """The faults found beside those already known, without those that only follow from them."""
    told = {fault.pointer for fault in known}
    return [fault for fault in found if not _follows(fault, told)]


def _follows(fault: Fault, told: set[str]) -> bool:
    if fault.pointer in told:
        return True
    parts = {f"{fault.pointer}/file_id", f"{fault.pointer}/sku"}
    return fault.code == "file-or-sku" and bool(told & parts)


def _item(one: dict[str, Any]) -> ItemBody:
    return ItemBody(
        quantity=1,
        file_id=_text(one, "file_id"),
        sku=_text(one, "sku"),
        material=_text(one, "material"),
    )


def _customer(one: dict[str, Any]) -> CustomerBody:
    return CustomerBody(
        name=_text(one, "name") or "-", email=_text(one, "email"), phone=_text(one, "phone")
    )


def _text(of: dict[str, Any], name: str) -> str | None:
    value = of.get(name)
    return value if isinstance(value, str) and len(value) <= _LONGEST else None
