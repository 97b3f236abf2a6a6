"""What the price desk asks of the store: questions that wait, and what is known of files."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.ports import OrderWork
from orderkeep.quoting.measurement import Outcome


class PriceJob(msgspec.Struct, frozen=True):
    """A question held: which order, which version of its price."""

    row: int
    token: int
    order_no: OrderNo
    version: int
    attempts: int


GoesWith = Callable[[PriceJob], bool]
"""Whether a waiting question is to be taken with those before it; asked of the first too."""


class PriceJobs(Protocol):
    """Questions that wait for a price."""

    def add(self, no: OrderNo, version: int, now: datetime) -> None:
        """Keep a question; one that is known is left as it is."""
        ...

    def waits(self, now: datetime) -> bool:
        """Whether there is something to take."""
        ...

    def take(
        self, now: datetime, lease_ends: datetime, limit: int, goes_with: GoesWith | None = None
    ) -> Sequence[PriceJob]:
        """Hold waiting questions, oldest first, counting an attempt; up to one that goes not."""
        ...

    def done(self, job: PriceJob) -> bool:
        """The question is answered; False when the job is not held under its token any more."""
        ...

    def renew(self, job: PriceJob, lease_ends: datetime) -> bool:
        """Hold on until ``lease_ends``; False when the job is not held under its token any more."""
        ...

    def free_taken(self, lease_ends: datetime) -> None:
        """Free what was taken with this lease, by a take that nobody knows the outcome of."""
        ...

    def give_back(self, job: PriceJob, due: datetime) -> None:
        """Nobody looked at it properly: free again at ``due``, the attempt not counted."""
        ...

    def put_back(self, job: PriceJob, due: datetime) -> None:
        """Not answered: free again at ``due``."""
        ...

    def release_all(self) -> int:
        """At start, when every earlier holder is proven gone: free what they held; how many."""
        ...


class Measurements(Protocol):
    """What is known about files that were measured before."""

    def get(self, sha256: str, unit: str, kernel_version: str) -> Outcome | None: ...

    def put(
        self, sha256: str, unit: str, kernel_version: str, outcome: Outcome, now: datetime
    ) -> None: ...


class QuotingWork(OrderWork, Protocol):
    """A unit of work of the price desk."""

    @property
    def price_jobs(self) -> PriceJobs: ...

    @property
    def measurements(self) -> Measurements: ...

    @property
    def inbox(self) -> InboxStore: ...
