"""Partners and the keys they sign their calls with."""

import re
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

import msgspec

from orderkeep.kernel.errors import Fault, Invalid, Refused
from orderkeep.kernel.ids import Ids, PartnerId

KEY_PREFIX = "okp_"
OFFICE = PartnerId("office")
"""The house itself, for what people enter by hand: a partner like others, without a key."""

_KEY_LENGTH = 43  # 62^43: 256 bits that nobody guesses
_HINT_LENGTH = 10
_RATE = re.compile(r"(\d{1,6})/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


class Partner(msgspec.Struct, frozen=True):
    """Who orders come from over the API; the shop is one too."""

    id: PartnerId
    name: str
    auto_approve_below: Decimal | None
    """An order below this amount of the price book's currency needs no seller's approval."""
    created_at: datetime
    disabled_at: datetime | None = None


class Quota(msgspec.Struct, frozen=True):
    """How many calls a key may make in how many seconds."""

    rate: int = 100
    per_seconds: int = 60


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept: never the key itself; ``hint`` is its beginning."""

    id: str
    partner_id: PartnerId
    hint: str
    quota: Quota
    created_at: datetime
    revoked_at: datetime | None = None


class KeyHolder(msgspec.Struct, frozen=True):
    """What a valid key stands for."""

    key_id: str
    partner_id: PartnerId
    partner_name: str
    quota: Quota
    auto_approve_below: Decimal | None


class PartnerNotFound(Refused):
    """No such partner."""


class PartnerNameTaken(Refused):
    """Another partner has this name."""


class KeyNotFound(Refused):
    """No such key, or it is revoked already."""


def new_key(ids: Ids) -> str:
    """A key nobody can guess; shown once and never kept."""
    return KEY_PREFIX + ids.token(_KEY_LENGTH)


def key_sha256(key: str) -> str:
    """How a key is kept and looked up."""
    return sha256(key.encode()).hexdigest()


def key_hint(key: str) -> str:
    """The beginning of a key, enough to tell two keys of a partner apart."""
    return key[:_HINT_LENGTH]


def parse_quota(text: str) -> Quota:
    """Read ``20/s``, ``100/min`` or ``5000/h``.

    Raises:
        Invalid: it is none of these, or no call at all.
    """
    match = _RATE.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise Invalid([Fault("/rate", "format", "must look like 20/s, 100/min or 5000/h")])
    return Quota(rate=int(match[1]), per_seconds=_SECONDS[match[2]])


def check_partner_name(name: str) -> None:
    """Refuse a name that cannot be kept.

    Raises:
        Invalid: empty, longer than 200 characters or with control characters.
    """
    if not (0 < len(name.strip()) <= 200 and name.isprintable()):
        raise Invalid([Fault("/name", "length", "must have 1 to 200 printable characters")])
