"""How foreign systems are doing: one text for both databases."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, and_, text, update

from orderkeep.adapters.sql.instants import from_micros
from orderkeep.adapters.sql.tables import destinations
from orderkeep.bridge.destinations import Destination, Paused
from orderkeep.bridge.pace import Pace

_pace = msgspec.json.Decoder(Pace)
# As a text: every step of a line looks.
_GET = (
    "SELECT name, version, pace, paused_by, paused_because, paused_since, cursor"
    " FROM destinations WHERE name = ?"
)
# Both databases understand this, and two processes that begin at once get one row.
_KNOW = text("INSERT INTO destinations (name) VALUES (:of) ON CONFLICT (name) DO NOTHING")


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def connection(self) -> Connection: ...


class SqlDestinations:
    """Implements ``bridge.destinations.DestinationStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection
        self._raw = work.raw

    def get(self, name: str) -> Destination:
        row = self._raw.execute(_GET, (name,)).fetchone()
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


def _destination(row: Sequence[Any]) -> Destination:
    name, version, pace, paused_by, because, since, cursor = row
    return Destination(
        name=name,
        version=version,
        pace=_pace.decode(pace) if pace else None,
        paused=None if since is None else Paused(paused_by, because, from_micros(since)),
        cursor=cursor,
    )
