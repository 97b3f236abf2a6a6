"""Places of foreign systems, in Core: one text for both databases."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select, text, update

from orderkeep.adapters.sql.tables import destination_places as places
from orderkeep.bridge.places import Place

_ALL = (
    select(places.c.n, places.c.holder, places.c.beat, places.c.asked_by)
    .where(places.c.destination == bindparam("of"))
    .order_by(places.c.n)
)
# In one order, so that two who lock them wait for each other and never both.
_LOCK = _ALL.with_for_update()
_KNOW = text(
    "INSERT INTO destination_places (destination, n, beat) VALUES (:of, :n, 0)"
    " ON CONFLICT (destination, n) DO NOTHING"
)
_OF = places.c.destination == bindparam("of")
_GIVE = (
    update(places)
    .where(_OF, places.c.n == bindparam("place"))
    .values(holder=bindparam("to"), asked_by=None)
)
_ASK = update(places).where(_OF, places.c.n == bindparam("place")).values(asked_by=bindparam("by"))
_CONFIRM = (
    update(places).where(_OF, places.c.holder == bindparam("by")).values(beat=bindparam("newest"))
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlPlaces:
    """Implements ``bridge.places.PlaceStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def all(self, destination: str) -> Sequence[Place]:
        return self._places(_ALL, destination)

    def lock(self, destination: str, most: int) -> Sequence[Place]:
        found = self._places(_LOCK, destination)
        if len(found) >= most:
            return found
        for n in range(1, most + 1):
            self._connection.execute(_KNOW, {"of": destination, "n": n})
        return self._places(_LOCK, destination)

    def give(self, destination: str, numbers: Iterable[int], holder: str | None) -> None:
        for n in numbers:
            self._connection.execute(_GIVE, {"of": destination, "place": n, "to": holder})

    def ask(self, destination: str, numbers: Iterable[int], holder: str) -> None:
        for n in numbers:
            self._connection.execute(_ASK, {"of": destination, "place": n, "by": holder})

    def confirm(self, destination: str, holder: str, beat: int) -> None:
        values = {"of": destination, "by": holder, "newest": beat}
        self._connection.execute(_CONFIRM, values)

    def _places(self, query: Any, destination: str) -> list[Place]:
        found = self._connection.execute(query, {"of": destination})
        return [Place(row.n, row.holder, row.beat, row.asked_by) for row in found]
