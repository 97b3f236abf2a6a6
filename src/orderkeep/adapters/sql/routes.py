"""Since when a consumer has received a kind, in Core: one text for both databases."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection, bindparam, delete, select, text

from orderkeep.adapters.sql.tables import routes
from orderkeep.adapters.sql.types import UtcDateTime

_ALL = select(routes)
_FORGET = delete(routes).where(
    routes.c.kind == bindparam("of"), routes.c.consumer == bindparam("by")
)
# Relays that start together know of the same routes: the first one's instant holds.
_ADD = text(
    "INSERT INTO routes (kind, consumer, since) VALUES (:kind, :consumer, :since)"
    " ON CONFLICT (kind, consumer) DO NOTHING"
).bindparams(bindparam("since", type_=UtcDateTime))
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""When the first routes of all began: whatever was carried until then went by them."""


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlRoutes:
    """Implements ``delivery.ports.RouteStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def since(self) -> Mapping[tuple[str, str], datetime]:
        return {(row.kind, row.consumer): row.since for row in self._connection.execute(_ALL)}

    def remember(self, wanted: Mapping[str, Sequence[str]], now: datetime) -> None:
        pairs = {(kind, consumer) for kind, theirs in wanted.items() for consumer in theirs}
        found = self.since()
        # One that seems to begin later was remembered before the clock was set back: what is
        # carried until then would be looked for by nobody.
        kept = {pair for pair in pairs & found.keys() if found[pair] <= now}
        began = now if found else _ALWAYS
        for kind, consumer in sorted(found.keys() - kept):
            self._connection.execute(_FORGET, {"of": kind, "by": consumer})
        for kind, consumer in sorted(pairs - kept):
            self._connection.execute(_ADD, {"kind": kind, "consumer": consumer, "since": began})
