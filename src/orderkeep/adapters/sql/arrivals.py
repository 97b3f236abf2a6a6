"""Messages that became no order, in Core: one text for both databases."""

from datetime import datetime

from sqlalchemy import and_, bindparam, select, text

from orderkeep.adapters.sql.hot_sqlite.counters import CountedWork
from orderkeep.adapters.sql.sources import SqlSources
from orderkeep.adapters.sql.tables import arrivals, counters
from orderkeep.adapters.sql.types import UtcDateTime
from orderkeep.intake.arrivals import Arrival, Fate, counter

# Both databases understand this; whoever comes second finds it known.
_NOTE = text(
    "INSERT INTO arrivals (source, message_id, body_sha256, at, fate)"
    " VALUES (:source, :message_id, :body_sha256, :at, :fate)"
    " ON CONFLICT (source, message_id) DO NOTHING"
).bindparams(bindparam("at", type_=UtcDateTime))


class SqlArrivals:
    """Implements ``intake.arrivals.ArrivalStore``."""

    def __init__(self, work: CountedWork) -> None:
        self._connection = work.connection
        self._counters = work.counters
        self._sources = SqlSources(work)

    def note(self, arrival: Arrival, fate: Fate, now: datetime) -> bool:
        if arrival.lease_token is not None:
            self._sources.require(arrival.source, arrival.lease_token)
        row = {
            "source": arrival.source,
            "message_id": arrival.message_id,
            "body_sha256": arrival.body_sha256,
            "at": now,
            "fate": fate.value,
        }
        if self._connection.execute(_NOTE, row).rowcount == 0:
            return False
        self._counters.add(counter(arrival.source, fate), 1)
        return True

    def fate(self, arrival: Arrival) -> Fate | None:
        known = and_(
            arrivals.c.source == arrival.source,
            arrivals.c.message_id == arrival.message_id,
            arrivals.c.body_sha256 == arrival.body_sha256,
        )
        found = self._connection.execute(select(arrivals.c.fate).where(known)).scalar()
        return None if found is None else Fate(found)

    def counts(self, source: str) -> dict[Fate, int]:
        names = {counter(source, fate): fate for fate in Fate}
        asked = select(counters).where(counters.c.name.in_(names))
        return {names[row.name]: row.value for row in self._connection.execute(asked)}
