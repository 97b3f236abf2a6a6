"""How foreign systems are doing, in Core: one text for both databases."""

from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, select, text, update

from orderkeep.adapters.sql.tables import destinations
from orderkeep.bridge.destinations import Destination, Paused
from orderkeep.bridge.pace import Pace

_pace = msgspec.json.Decoder(Pace)
_GET = select(destinations).where(destinations.c.name == bindparam("of"))
# Both databases understand this, and two processes that begin at once get one row.
_KNOW = text("INSERT INTO destinations (name) VALUES (:of) ON CONFLICT (name) DO NOTHING")


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlDestinations:
    """Implements ``bridge.destinations.DestinationStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, name: str) -> Destination:
        row = self._connection.execute(_GET, {"of": name}).one_or_none()
        return Destination(name) if row is None else _destination(row)

    def keep_pace(self, name: str, pace: Pace, version: int) -> bool:
        as_read = and_(destinations.c.name == name, destinations.c.version == version)
        written = msgspec.json.encode(pace).decode()
        return self._set(name, as_read, pace=written, version=version + 1)

    def pause(self, name: str, paused: Paused) -> bool:
        running = and_(destinations.c.name == name, destinations.c.paused_since.is_(None))
        return self._set(
            name,
            running,
            paused_by=paused.by,
            paused_because=paused.because,
            paused_since=paused.since,
        )

    def resume(self, name: str, pace: Pace) -> bool:
        resting = and_(destinations.c.name == name, destinations.c.paused_since.is_not(None))
        return self._set(
            name,
            resting,
            paused_by=None,
            paused_because=None,
            paused_since=None,
            pace=msgspec.json.encode(pace).decode(),
            version=destinations.c.version + 1,
        )

    def keep_cursor(self, name: str, cursor: str, before: str | None) -> bool:
        as_read = and_(
            destinations.c.name == name, destinations.c.cursor.is_not_distinct_from(before)
        )
        return self._set(name, as_read, cursor=cursor)

    def _set(self, name: str, where: Any, **columns: Any) -> bool:
        self._connection.execute(_KNOW, {"of": name})
        changed = update(destinations).where(where).values(**columns)
        return self._connection.execute(changed).rowcount == 1


def _destination(row: Row[Any]) -> Destination:
    paused = None
    if row.paused_since is not None:
        paused = Paused(row.paused_by, row.paused_because, row.paused_since)
    return Destination(
        name=row.name,
        version=row.version,
        pace=_pace.decode(row.pace) if row.pace else None,
        paused=paused,
        cursor=row.cursor,
    )
