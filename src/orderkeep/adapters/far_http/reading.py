"""Reads what foreign systems answer; whatever is not exactly in shape is None."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from orderkeep.adapters.far_http.wire import Reply

ID_LENGTH = 200
REASON_LENGTH = 200

_REASONS = ("error", "message", "reason", "detail", "title")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PERSONAL = re.compile(r"[^\s@]+@[^\s@]+|\+?\d[\d ()-]{6,}\d")


def had_no_room(reply: Reply) -> bool:
    """Whether the far side surely did nothing for want of room.

    A 429 is a refusal before the work. A 503 is one only with Retry-After, which a limiter sets on
    purpose; a bare 503 may as well come from a gateway that lost the far side half-way.
    """
    return reply.status == 429 or (reply.status == 503 and "retry-after" in reply.headers)


def retry_after(reply: Reply) -> timedelta | None:
    """The pause asked for, in whole seconds up to a day; a date is not read, being rare."""
    text = reply.headers.get("retry-after", "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return None
    return min(timedelta(seconds=int(text)), timedelta(days=1))


def reason(body: bytes, hidden: Sequence[str] = ()) -> str:
    """The far side's sentence, short, without control characters and without anything personal."""
    told = json_of(body)
    words = [told.get(name) for name in _REASONS] if isinstance(told, dict) else []
    text = next((word for word in words if isinstance(word, str)), "")
    for secret in filter(None, hidden):
        text = text.replace(secret, "…")
    return _PERSONAL.sub("…", _CONTROL.sub(" ", text))[:REASON_LENGTH].strip()


def json_of(body: bytes) -> Any:
    """The JSON value in a body, or None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def word_of(value: Any) -> str | None:
    """An id, reference or status: a number, or a short text without control characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH:
        return None
    return None if _CONTROL.search(value) else value
