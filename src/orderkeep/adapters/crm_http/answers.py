"""Reads what a CRM says, answering or by itself."""

from collections.abc import Sequence
from typing import Any

import msgspec

from orderkeep.adapters.crm_http.settings import CrmHttpSettings
from orderkeep.adapters.far_http.reading import json_of, word_of
from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import CRM, CrmOrder, Said
from orderkeep.bridge.tray import UNREADABLE, Unknown
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.messages import CrmSaid

_LONGEST_REASON = 500
_LARGEST_VERSION = 1 << 31


class Reader:
    """Reads the CRM's own shapes; a command that is none is what nobody understands."""

    def __init__(self, settings: CrmHttpSettings) -> None:
        self._names = settings
        self._ours = {theirs: ours for ours, theirs in settings.stages.items()}

    def order(self, body: bytes) -> CrmOrder | None:
        """The order an answer is about, or None for anything else."""
        told = json_of(body)
        number = word_of(told.get(self._names.order_no_field)) if isinstance(told, dict) else None
        if number is None:
            return None
        return CrmOrder(
            number,
            word_of(told.get(self._names.stage_field)),
            _version(told.get(self._names.version_field)),
            word_of(told.get(self._names.id_field)),
        )

    def stage_here(self, ours: str) -> str:
        """What the CRM calls a stage of ours."""
        return self._names.stages.get(ours, ours)

    def said(self, body: bytes, named: str | None = None) -> Said:
        """What a call-back wants; ``named`` is the id that came beside it."""
        return self._said(json_of(body), body, named)

    def page(self, body: bytes) -> tuple[Sequence[Said], str | None] | None:
        """A page of the feed, or None when it is no page."""
        told = json_of(body)
        items = told.get(self._names.items_field) if isinstance(told, dict) else None
        if not isinstance(items, list):
            return None
        said = [self._said(item, msgspec.json.encode(item), None) for item in items]
        return said, word_of(told.get(self._names.next_field))

    def _said(self, told: Any, body: bytes, named: str | None) -> Said:
        names = self._names
        if not isinstance(told, dict):
            return Unknown(CRM, UNREADABLE, body, named)
        name = word_of(told.get(names.command_id_field)) or named
        number = word_of(told.get(names.order_no_field))
        command = word_of(told.get(names.command_field))
        if name is None or number is None or command is None:
            missing = _missing(
                {names.command_id_field: name, names.order_no_field: number}
                | {names.command_field: command}
            )
            return Unknown(CRM, f"{UNREADABLE}: {say.FIELDS_MISSING(fields=missing)}", body, name)
        reason = told.get(names.reason_field)
        return CrmSaid(
            OrderNo(number),
            command,
            name,
            reason[:_LONGEST_REASON] if isinstance(reason, str) and reason.strip() else None,
            _version(told.get(names.version_field)),
        )


def _missing(found: dict[str, str | None]) -> str:
    return ", ".join(name for name, value in found.items() if value is None)


def _version(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < _LARGEST_VERSION else None
