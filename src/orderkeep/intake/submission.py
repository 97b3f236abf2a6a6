"""What a channel sends in: the shape of a submission, whoever carries it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from orderkeep.intake.strict_json import MULTILINE

MAX_ITEMS = 50
MAX_QUANTITY = 10_000

_Ref = Annotated[
    str, Meta(min_length=1, max_length=200, description="Your number of the order, unique for you.")
]
_FileId = Annotated[
    str, Meta(min_length=1, max_length=64, description="As answered by POST /v1/files.")
]
_Sku = Annotated[str, Meta(min_length=1, max_length=64, description="A ready-made piece.")]
_Material = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="A material of the price book; needed with a file.",
        examples=["au585_yellow"],
    ),
]
_Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
_Engraving = Annotated[str, Meta(min_length=1, max_length=100)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Email = Annotated[str, Meta(min_length=3, max_length=254, examples=["anna@example.com"])]
_Phone = Annotated[str, Meta(min_length=5, max_length=40, examples=["+7 900 000-00-00"])]
_AddressText = Annotated[str, Meta(min_length=1, max_length=500, extra=MULTILINE)]
_AddressPart = Annotated[str, Meta(max_length=200)]
_AddressParts = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=40)], _AddressPart],
    Meta(min_length=1, max_length=20),
]
_PromiseBy = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=40,
        description="When you need it: a date, or an instant with its offset (RFC 3339).",
        examples=["2027-02-14", "2027-02-14T18:00:00+03:00"],
    ),
]
_Note = Annotated[str, Meta(min_length=1, max_length=2000, extra=MULTILINE)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a body: nothing unknown in it, and null means the same as absent."""


class ItemBody(_Body, frozen=True):
    """One position: a model file in a material, or a ready-made piece."""

    quantity: _Quantity
    file_id: _FileId | None = None
    sku: _Sku | None = None
    material: _Material | None = None
    engraving: _Engraving | None = None


class CustomerBody(_Body, frozen=True):
    """Who the piece is for."""

    name: _Name
    email: _Email | None = None
    phone: _Phone | None = None


class DraftItem(_Body, frozen=True):
    """One position as far as it is written."""

    quantity: _Quantity | None = None
    file_id: _FileId | None = None
    sku: _Sku | None = None
    material: _Material | None = None
    engraving: _Engraving | None = None


class DraftCustomer(_Body, frozen=True):
    """The customer as far as it is written."""

    name: Annotated[str, Meta(max_length=200)] | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None
    phone: Annotated[str, Meta(max_length=40)] | None = None


class DraftBody(_Body, frozen=True):
    """An order as far as it is written."""

    client_ref: _Ref | None = None
    items: Annotated[list[DraftItem], Meta(max_length=MAX_ITEMS)] | None = None
    customer: DraftCustomer | None = None
    delivery_address: _AddressText | _AddressParts | None = None
    promise_by: Annotated[str, Meta(max_length=40)] | None = None
    note: _Note | None = None


class SubmissionBody(_Body, frozen=True):
    """An order as it is sent in."""

    client_ref: _Ref
    items: Annotated[list[ItemBody], Meta(min_length=1, max_length=MAX_ITEMS)]
    customer: CustomerBody
    delivery_address: _AddressText | _AddressParts | None = None
    promise_by: _PromiseBy | None = None
    note: _Note | None = None
