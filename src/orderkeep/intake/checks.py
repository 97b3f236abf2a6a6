"""What a submission of the right shape may still have wrong; pure, and all of it at once."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from orderkeep.files.ports import StoredFile
from orderkeep.intake.submission import CustomerBody, ItemBody, SubmissionBody
from orderkeep.kernel.errors import Fault
from orderkeep.kernel.ids import FileId

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_PHONE = re.compile(r"\+?[0-9 ()./-]+")
_FIVE_DIGITS = re.compile(r"(?:[^0-9]*[0-9]){5}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_FARTHEST = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the price book in force can price."""

    materials: Collection[str]
    skus: Collection[str]


def check(
    body: SubmissionBody,
    files: Mapping[FileId, StoredFile],
    catalogue: Catalogue,
    now: datetime,
) -> list[Fault]:
    """Everything that keeps the submission from being an order; ``files`` are the caller's own."""
    return [
        *_client_ref(body),
        *(
            fault
            for index, item in enumerate(body.items)
            for fault in _item(item, f"/items/{index}", files, catalogue)
        ),
        *_customer(body.customer),
        *_promise_by(body, now),
    ]


def promise_by(body: SubmissionBody) -> datetime | None:
    """The instant the client asked for; a date means the end of that day in UTC."""
    text = body.promise_by
    if text is None:
        return None
    if _DATE.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC)
    # Python 3.11 reads up to six digits of a second.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper())).astimezone(UTC)


def _client_ref(body: SubmissionBody) -> Iterator[Fault]:
    if body.client_ref != body.client_ref.strip():
        yield Fault("/client_ref", "format", "must not begin or end with blanks")


def _item(
    item: ItemBody, pointer: str, files: Mapping[FileId, StoredFile], catalogue: Catalogue
) -> Iterator[Fault]:
    if (item.file_id is None) == (item.sku is None):
        yield Fault(pointer, "file-or-sku", "must have either file_id or sku, and not both")
    if item.file_id is not None and item.file_id not in files:
        yield Fault(f"{pointer}/file_id", "unknown-file", "is not a file of yours")
    if item.sku is not None and item.sku not in catalogue.skus:
        yield Fault(f"{pointer}/sku", "unknown-sku", "is not in the catalogue")
    if item.material is not None and item.material not in catalogue.materials:
        yield Fault(f"{pointer}/material", "unknown-material", "is not in the price book")
    if item.material is None and item.file_id is not None:
        yield Fault(f"{pointer}/material", "required", "is needed with a file")


def _customer(customer: CustomerBody) -> Iterator[Fault]:
    if not customer.name.strip():
        yield Fault("/customer/name", "blank", "must not be blank")
    if customer.email is not None and not _EMAIL.fullmatch(customer.email):
        yield Fault("/customer/email", "format", "must look like name@example.com")
    if customer.phone is not None and not _is_phone(customer.phone):
        yield Fault("/customer/phone", "format", "must be digits, with blanks, brackets and +")


def _is_phone(text: str) -> bool:
    return _PHONE.fullmatch(text) is not None and _FIVE_DIGITS.match(text) is not None


def _promise_by(body: SubmissionBody, now: datetime) -> Iterator[Fault]:
    if body.promise_by is None:
        return
    asked = _asked(body)
    if asked is None:
        yield Fault("/promise_by", "format", "must be a date, or an instant with its offset")
    elif asked <= now:
        yield Fault("/promise_by", "past", "must be in the future")
    elif asked > now + _FARTHEST:
        yield Fault("/promise_by", "too-far", "must be within five years")


def _asked(body: SubmissionBody) -> datetime | None:
    text = body.promise_by or ""
    if not (_DATE.fullmatch(text) or _INSTANT.fullmatch(text)) or not text.isascii():
        return None
    try:
        return promise_by(body)
    except (ValueError, OverflowError):
        return None
