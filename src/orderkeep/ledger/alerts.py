"""What a person has to be told on whatever screen they are: pure, from what was counted just now.

Level-triggered: an alert is there for as long as its cause is, and goes by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from orderkeep.ledger.balance import Difference
from orderkeep.ledger.kept import STALE, Run

RECENT: Final = timedelta(hours=1)
"""What was put aside within this is new: the count rises."""


class Alert(msgspec.Struct, frozen=True):
    """One thing to be told.

    ``kind``: ``unaccounted stale differences letters work_orders``; ``count`` is how many, and
    ``since`` when it began, where that is known.
    """

    kind: str
    count: int
    since: datetime | None = None


def balance_alerts(
    run: Run | None, differences: Sequence[Difference], now: datetime
) -> list[Alert]:
    """What is wrong with the balance; nothing while no balance has been counted yet."""
    if run is None:
        return []
    since = min((one.since for one in differences if one.since), default=run.at)
    found = [
        Alert("unaccounted", run.unaccounted, run.at),
        Alert("stale", int(now - run.at > STALE), run.at),
        Alert("differences", run.differences, since),
    ]
    return [one for one in found if one.count]


def quarantine_alerts(letters: int, work_orders: int) -> list[Alert]:
    """What has been put aside within ``RECENT``, by what it is."""
    found = [Alert("letters", letters), Alert("work_orders", work_orders)]
    return [one for one in found if one.count]
