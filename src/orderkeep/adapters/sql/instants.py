"""Instants as the databases are handed them: whole microseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FARTHEST = timedelta(minutes=10)
"""No lease and no pause of delivery or pricing is longer: what lies farther ahead was written
before the clock was set back, and would stand still for as long as it was wrong."""
_FARTHEST = FARTHEST // MICROSECOND


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970, exact; how the drivers are handed an instant."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant behind ``to_micros``."""
    return EPOCH + timedelta(microseconds=micros)


def is_ahead(instant: int, now: int) -> bool:
    """Whether a lease or a pause has not ended yet; both in microseconds."""
    return now < instant <= now + _FARTHEST
