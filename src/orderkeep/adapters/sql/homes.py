"""Where the home of orders is, by partner and channel, in Core: one text for both databases."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, bindparam, select, text

from orderkeep.adapters.sql.tables import homes
from orderkeep.adapters.sql.types import UtcDateTime
from orderkeep.intake.homes import Flag
from orderkeep.orders.home import Home

# Both databases understand this.
_PUT = text(
    "INSERT INTO homes (kind, name, home, since, by) VALUES (:kind, :name, :home, :since, :by)"
    " ON CONFLICT (kind, name) DO UPDATE"
    " SET home = excluded.home, since = excluded.since, by = excluded.by"
).bindparams(bindparam("since", type_=UtcDateTime))


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlHomes:
    """Implements ``intake.homes.HomeStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def all(self) -> Sequence[Flag]:
        rows = self._connection.execute(select(homes).order_by(homes.c.kind, homes.c.name))
        return [Flag(row.kind, row.name, Home(row.home), row.since, row.by) for row in rows]

    def put(self, flag: Flag) -> None:
        told = {
            "kind": flag.kind,
            "name": flag.name,
            "home": flag.home.value,
            "since": flag.since,
            "by": flag.by,
        }
        self._connection.execute(_PUT, told)
