"""Identities. An order is its number: gapless, so that a lost order is a visible hole.

The last digit of an order number is a check digit (Damm), so that a number misread over the
telephone is refused instead of showing a stranger's order.
"""

import secrets
import string
from datetime import datetime
from random import Random
from typing import NewType

OrderNo = NewType("OrderNo", str)
"""``OK-`` + at least five digits + one check digit; the same order for ever."""

PartnerId = NewType("PartnerId", str)
PersonId = NewType("PersonId", str)
FileId = NewType("FileId", str)
EnvelopeId = NewType("EnvelopeId", str)
WorkOrderRef = NewType("WorkOrderRef", str)
"""What the MES knows a work order by: the order number, then ``number/2``, ``number/3``."""

_PREFIX = "OK-"
_DIGITS = 5
# Damm, "Total anti-symmetrische Quasigruppen", 2004: catches every single-digit error and every
# swap of neighbours.
_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
_NEXT = tuple(dict(zip(string.digits, row, strict=True)) for row in _DAMM)


def order_no(n: int) -> OrderNo:
    """The number people see for the n-th order accepted (n counts from 1)."""
    digits = f"{n:0{_DIGITS}d}"
    return OrderNo(f"{_PREFIX}{digits}{_damm(digits)}")


def order_n(text: str) -> int | None:
    """The counter behind an order number, or None when the text is not one.

    Letter case, blanks around it and a missing prefix do not matter; a wrong check digit does.
    """
    digits = text.strip().upper().removeprefix(_PREFIX)
    # isdecimal alone would let other scripts' digits in, and a long number past 64 bits.
    if not (_DIGITS < len(digits) <= 18 and digits.isascii() and digits.isdecimal()):
        return None
    n = int(digits[:-1])
    return n if n > 0 and order_no(n) == f"{_PREFIX}{digits}" else None


def work_order_ref(no: OrderNo, generation: int) -> WorkOrderRef:
    """The reference of an order's work order: the number itself first, then ``number/2``."""
    return WorkOrderRef(no if generation == 1 else f"{no}/{generation}")


def generation_of(ref: str) -> int:
    """Which of its order's work orders a reference means, counted from 1."""
    return int(ref.partition("/")[2] or 1)


def order_no_of(ref: str) -> OrderNo:
    """The order a work order's reference belongs to."""
    return OrderNo(ref.partition("/")[0])


def uuid7(now: datetime, random_bits: int) -> str:
    """A UUID version 7 (RFC 9562) for an instant, from 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    high = (milliseconds << 16) | 0x7000 | (random_bits >> 62 & 0xFFF)
    low = (0b10 << 62) | (random_bits & (1 << 62) - 1)
    text = f"{high:016x}{low:016x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Ids:
    """Where fresh identities come from; the simulation passes one with a seed."""

    def __init__(self) -> None:
        # An envelope's id has to be unique and is no secret: asking the system for each costs more
        # than checking the order.
        self._dice = Random(secrets.randbits(256))  # noqa: S311  # See above.

    def envelope_id(self, now: datetime) -> EnvelopeId:
        """A sortable id for a new envelope."""
        return EnvelopeId(uuid7(now, self._dice.getrandbits(74)))

    def token(self, length: int = 26) -> str:
        """Letters and digits nobody can guess (5.9 bits each); for files, keys and sessions."""
        alphabet = string.ascii_letters + string.digits
        return "".join(secrets.choice(alphabet) for _ in range(length))


def _damm(digits: str) -> int:
    interim = 0
    for digit in digits:
        interim = _NEXT[interim][digit]
    return interim
