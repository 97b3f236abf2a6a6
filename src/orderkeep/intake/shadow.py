"""What would be accepted, beside what really happens: the comparison before a source goes live.

The shadow reads copies. For each order number it says whether the order would be accepted, and then
looks for it: among our own orders, and at the MES that the old road hands it to. Pure, but for the
port.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from orderkeep.intake import sentences as say
from orderkeep.kernel.ids import PartnerId

LOOK_AGAIN: Final = timedelta(seconds=30)
GIVE_UP: Final = timedelta(days=7)
"""What has not come by then is missing for good; till then it may still be found."""
LONGEST_REST: Final = GIVE_UP / 4
"""Between two looks, at most."""


class Verdict(StrEnum):
    """What we would have done."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class Comparison(StrEnum):
    """What we would have done, beside what happened."""

    WAITING = "waiting"
    SAME = "same"
    MISSING = "missing"
    """We would have accepted it, and nobody makes it."""
    DIFFERS = "differs"


class ShadowOrder(msgspec.Struct, frozen=True):
    """An order as the shadow saw it."""

    row: int
    source: str
    client_ref: str
    body_sha256: str
    at: datetime
    verdict: Verdict
    why: str | None
    state: Comparison
    detail: str | None
    looks: int
    look_at: datetime | None = None
    """When to look for it; None when there is nothing more to find out."""
    mes_id: str | None = None
    """What the MES calls it: the old road has handed it over."""

    @property
    def came_twice(self) -> bool:
        """Whether it differs and is looked for all the same: what came last has other content."""
        return self.state is Comparison.DIFFERS and self.look_at is not None


class Seen(NamedTuple):
    """An order to be put beside what happens."""

    client_ref: str
    message_id: str
    body_sha256: str
    verdict: Verdict
    why: str | None = None


class Compared(NamedTuple):
    """The result of one look; ``look_at`` None when there is nothing more to find out."""

    state: Comparison
    detail: str | None
    look_at: datetime | None
    mes_id: str | None = None


def not_known(order: ShadowOrder, detail: str | None, look_at: datetime | None) -> Compared:
    """Nobody can say yet who has it."""
    if not order.came_twice:
        return Compared(Comparison.WAITING, detail, look_at)
    return Compared(Comparison.DIFFERS, say.CAME_TWICE(), look_at)


def compare_with_ours(order: ShadowOrder, body_sha256: str) -> Compared:
    """Beside an order of our own with the same number: it came by another road."""
    if order.body_sha256 == body_sha256:
        return Compared(Comparison.SAME, say.HERE_TOO(), None)
    return Compared(Comparison.DIFFERS, say.HERE_OTHERWISE(), None)


def compare_with_mes(
    order: ShadowOrder, jobs: Sequence[str], within: timedelta, now: datetime
) -> Compared:
    """Beside what the MES shows for the number; ``within`` is how long the old road may take."""
    if len(jobs) > 1:
        detail = say.MADE_TIMES(n=len(jobs))
        return Compared(Comparison.DIFFERS, detail, None, jobs[0])
    if jobs and order.verdict is Verdict.REFUSE:
        detail = say.WOULD_REFUSE(said=order.why)
        return Compared(Comparison.DIFFERS, detail, None, jobs[0])
    if jobs and order.came_twice:
        # Which of the two it was made of, the MES does not say.
        return Compared(Comparison.DIFFERS, say.CAME_TWICE(), None, jobs[0])
    if jobs:
        return Compared(Comparison.SAME, None, None, jobs[0])
    return _not_there(order, within, now)


def _not_there(order: ShadowOrder, within: timedelta, now: datetime) -> Compared:
    waited = now - order.at
    if waited < within:
        return not_known(order, None, min(now + LOOK_AGAIN, order.at + within))
    if order.verdict is Verdict.REFUSE:
        return Compared(Comparison.SAME, say.REFUSED_NOT_MADE(), None)
    later = now + max(LOOK_AGAIN, waited / 4)
    detail = say.CAME_TWICE() if order.came_twice else say.NOT_MADE()
    return Compared(Comparison.MISSING, detail, later if waited < GIVE_UP else None)


class ShadowStore(Protocol):
    """Orders that a shadow saw, and counts of what a tap understood."""

    def tapped(self, source: str, words: Mapping[str, int]) -> None:
        """Count messages by what became of them."""
        ...

    def tap_counts(self, source: str) -> Mapping[str, int]:
        """How many messages met which word."""
        ...

    def see(self, source: str, seen: Seen, now: datetime) -> None:
        """Keep an order to be compared; one that is there with another body differs.

        It is compared anew, as it came last, unless the MES has it already: the old road may have
        refused the first, and take the second. One that was there before is not compared.
        """
        ...

    def there_before(self, source: str, refs: Collection[str]) -> None:
        """Remember numbers that the old road has had; those that are known change nothing."""
        ...

    def to_look(self, now: datetime, limit: int) -> Sequence[ShadowOrder]:
        """Orders whose time has come."""
        ...

    def ours(self, partner_id: PartnerId, client_ref: str) -> str | None:
        """The body's hash of our own order of this number."""
        ...

    def looked(self, order: ShadowOrder, found: Compared) -> None:
        """Write what was found of an order, unless it has come with other content meanwhile."""
        ...

    def made_elsewhere(self, source: str, refs: Collection[str]) -> set[str]:
        """Which of these numbers went the old road: the MES has them, or they were there before."""
        ...

    def waited_for(self, source: str, refs: Collection[str]) -> set[str]:
        """Which of these numbers are still looked for: the old road may have them."""
        ...

    def waiting(self, source: str) -> int:
        """How many numbers are still looked for."""
        ...

    def counts(self, source: str) -> Mapping[Comparison, int]:
        """How many are the same, missing, different, or waited for."""
        ...

    def page(
        self, source: str, state: Comparison | None, before: int | None, limit: int
    ) -> Sequence[ShadowOrder]:
        """The newest first."""
        ...
