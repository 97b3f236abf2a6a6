"""Reads a MES's answers; whatever is not exactly in shape is None."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.adapters.mes_http.wire import Reply
from orderkeep.bridge.ports import MesJob

ID_LENGTH = 200
REASON_LENGTH = 200

_REASONS = ("error", "message", "reason", "detail", "title")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PERSONAL = re.compile(r"[^\s@]+@[^\s@]+|\+?\d[\d ()-]{6,}\d")


@dataclass(frozen=True, slots=True)
class Page:
    jobs: Sequence[MesJob]
    without_reference: int
    following: str | None


class Reader:
    """Reads the MES's own shapes; whatever is not exactly in shape is None."""

    def __init__(self, settings: MesHttpSettings) -> None:
        self._names = settings

    def job(self, body: bytes) -> MesJob | None:
        told = _json(body)
        return self._job(told) if isinstance(told, dict) else None

    def page(self, body: bytes) -> Page | None:
        told = _json(body)
        items = told.get(self._names.items_field) if isinstance(told, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return None
        referred = [item for item in items if _word(item.get(self._names.ref_field)) is not None]
        jobs = [job for item in referred if (job := self._job(item)) is not None]
        if len(jobs) != len(referred):
            return None  # A reference without an id: the MES is not telling the whole story.
        following = _word(told.get(self._names.next_field))
        return Page(jobs, len(items) - len(referred), following)

    def _job(self, told: Mapping[str, Any]) -> MesJob | None:
        mes_id = _word(told.get(self._names.id_field))
        reference = _word(told.get(self._names.ref_field))
        if mes_id is None or reference is None:
            return None
        return MesJob(mes_id, reference, _word(told.get(self._names.status_field)))


def had_no_room(reply: Reply) -> bool:
    """Whether the MES surely did nothing for want of room.

    A 429 is a refusal before the work. A 503 is one only with Retry-After, which a limiter sets on
    purpose; a bare 503 may as well come from a gateway that lost the MES half-way.
    """
    return reply.status == 429 or (reply.status == 503 and "Retry-After" in reply.headers)


def retry_after(reply: Reply) -> timedelta | None:
    """The pause asked for, in whole seconds up to a day; a date is not read, being rare."""
    text = reply.headers.get("Retry-After", "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return None
    return min(timedelta(seconds=int(text)), timedelta(days=1))


def reason(body: bytes, hidden: Sequence[str] = ()) -> str:
    """The MES's sentence, short, without control characters and without anything personal."""
    told = _json(body)
    words = [told.get(name) for name in _REASONS] if isinstance(told, dict) else []
    text = next((word for word in words if isinstance(word, str)), "")
    for secret in filter(None, hidden):
        text = text.replace(secret, "…")
    return _PERSONAL.sub("…", _CONTROL.sub(" ", text))[:REASON_LENGTH].strip()


def _json(body: bytes) -> Any:
    """The JSON value in a body, or None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _word(value: Any) -> str | None:
    """An id, reference or status: a number, or a short text without control characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH:
        return None
    return None if _CONTROL.search(value) else value
