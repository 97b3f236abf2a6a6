"""What partners send, beside orders."""

from typing import Annotated

import msgspec
from msgspec import Meta

_Reason = Annotated[str, Meta(min_length=1, max_length=500, description="In a few words.")]
_Version = Annotated[int, Meta(ge=1, le=1_000_000, description="As in `price.version`.")]


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why the order is not wanted any more."""

    reason: _Reason


class AcceptPriceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which price is agreed to; without a version, the one in force."""

    version: _Version | None = None
