"""What the sellers' CRM does not know of, or knows otherwise: differences, by order number."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from orderkeep.bridge.crm import CRM, Telling
from orderkeep.ledger import sentences as say
from orderkeep.ledger.balance import Difference

NAMED = 100
"""Differences of a kind that one count names."""


def differences(work: Any, now: datetime, late_after: timedelta) -> list[Difference]:
    """News that is on its way for too long, was not taken, or that the CRM shows otherwise."""
    before = now - late_after
    return [
        *_late(work.tellings.late(before, NAMED)),
        *_odd(work.tellings.odd(before, NAMED)),
    ]


def _late(rows: Sequence[Telling]) -> Iterator[Difference]:
    for row in rows:
        at = f"{row.news_since:%Y-%m-%d %H:%M}"
        what = say.CRM_LATE(told=row.told, state=row.state, at=at)
        yield Difference(row.order_no, what, CRM, "crm_late")


def _odd(rows: Sequence[Telling]) -> Iterator[Difference]:
    for row in rows:
        if row.differs is not None:
            yield Difference(row.order_no, row.differs, CRM, "crm_differs")
        else:
            yield Difference(row.order_no, _news(row), CRM, "crm_refused")


def _news(row: Telling) -> str:
    if not row.detail:
        return say.CRM_NEWS(state=row.state)
    return say.CRM_NEWS_BECAUSE(state=row.state, said=row.detail)
