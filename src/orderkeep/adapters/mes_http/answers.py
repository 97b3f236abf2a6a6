"""Reads a MES's answers; whatever is not exactly in shape is None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from orderkeep.adapters.far_http.reading import json_of, word_of
from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.telling import DESTINATION
from orderkeep.bridge.tray import UNREADABLE, Unknown


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
        told = json_of(body)
        return self._job(told) if isinstance(told, dict) else None

    def page(self, body: bytes) -> Page | None:
        told = json_of(body)
        items = told.get(self._names.items_field) if isinstance(told, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return None
        referred = [item for item in items if word_of(item.get(self._names.ref_field)) is not None]
        jobs = [job for item in referred if (job := self._job(item)) is not None]
        if len(jobs) != len(referred):
            return None  # A reference without an id: the MES is not telling the whole story.
        following = word_of(told.get(self._names.next_field))
        return Page(jobs, len(items) - len(referred), following)

    def feed(self, body: bytes) -> tuple[Sequence[MesJob | Unknown], str | None] | None:
        """A page of the feed, or None when it is no page.

        One odd entry must not hold up all behind it: it comes back as what nobody understands.
        Jobs without a reference were not made for us and are left out.
        """
        told = json_of(body)
        items = told.get(self._names.items_field) if isinstance(told, dict) else None
        if not isinstance(items, list):
            return None
        said = [self._said(item) for item in items if not self._is_strangers(item)]
        return said, word_of(told.get(self._names.next_field))

    def _said(self, item: Any) -> MesJob | Unknown:
        job = self._job(item) if isinstance(item, dict) else None
        return job or Unknown(DESTINATION, UNREADABLE, msgspec.json.encode(item))

    def _is_strangers(self, item: Any) -> bool:
        return isinstance(item, dict) and item.get(self._names.ref_field) is None

    def _job(self, told: Mapping[str, Any]) -> MesJob | None:
        mes_id = word_of(told.get(self._names.id_field))
        reference = word_of(told.get(self._names.ref_field))
        if mes_id is None or reference is None:
            return None
        return MesJob(mes_id, reference, word_of(told.get(self._names.status_field)))
