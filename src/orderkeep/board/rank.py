"""Why an order stands where it does in the ranking: codes and facts, worded by the browser."""

from datetime import datetime, timedelta

import msgspec

from orderkeep.orders.view import BoardRow

_NORMAL = 5
_SOON = timedelta(days=2)


class Reason(msgspec.Struct, frozen=True):
    """One reason: ``urgent late at_risk due_soon promised_soon waiting``, with its number."""

    code: str
    days: int | None = None
    priority: int | None = None


def why(row: BoardRow, now: datetime) -> list[Reason]:
    """The reasons that put the order before others, the strongest first."""
    reasons = []
    if row.priority < _NORMAL:
        reasons.append(Reason("urgent", priority=row.priority))
    if row.risk in {"late", "at_risk"}:
        reasons.append(Reason(row.risk))
    if row.due_at is not None and row.due_at - now < _SOON:
        reasons.append(Reason("due_soon", days=(row.due_at - now).days))
    if row.promise_at is not None and row.promise_at - now < _SOON:
        reasons.append(Reason("promised_soon", days=(row.promise_at - now).days))
    reasons.append(Reason("waiting", days=(now - row.stage_since).days))
    return reasons
