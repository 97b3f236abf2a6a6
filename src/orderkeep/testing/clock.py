"""A clock that the test moves."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass
class TestClock:
    """A clock that stands until it is moved."""

    __test__ = False
    time: datetime

    def now(self) -> datetime:
        return self.time

    def advance(self, by: timedelta) -> None:
        self.time += by
