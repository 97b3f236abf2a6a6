"""Accepting what came in messages, on SQLite: the message's row in the order's transaction."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orderkeep.adapters.sql.hot_sqlite.accept import (
    Desk,
    Known,
    LookingBatch,
    Names,
    Prepared,
    again,
    known,
)
from orderkeep.adapters.sql.hot_sqlite.many import look_up
from orderkeep.adapters.sql.lanes import Failed
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake import sentences as say
from orderkeep.intake.arrivals import Arrival, Fate, MessageChanged, counter
from orderkeep.intake.ports import Acceptance

_BY_ID = (
    "SELECT a.source, a.message_id, a.body_sha256, o.n, o.body_sha256, o.client_ref, o.created_at"
    " FROM {asked} CROSS JOIN arrivals a ON a.source = column1 AND a.message_id = column2"
    " LEFT JOIN orders o ON o.n = a.order_n"
)
# What was put aside or ignored before is understood once the mapping has been mended.
_ARRIVAL = (
    "INSERT INTO arrivals (source, message_id, body_sha256, at, fate, order_n)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source, message_id)"
    " DO UPDATE SET fate = excluded.fate, order_n = excluded.order_n WHERE order_n IS NULL"
)


class Came(NamedTuple):
    """A message that came before; ``order`` is None if it became none."""

    body_sha256: str
    order: Known | None


Arrivals = Mapping[tuple[str, str], Came]
"""What is known of messages, by source and id."""


class ArrivalDesk(Desk):
    """Decides as for everybody else, and collects the rows of the messages besides."""

    def __init__(self, following: int, keys: Names, refs: Names, arrivals: Arrivals) -> None:
        super().__init__(following, keys, refs)
        self._arrivals = dict(arrivals)
        self.rows: list[tuple[Any, ...]] = []
        self.leases: set[tuple[str, int]] = set()
        """The looks that found them: each has to be the newest of its source."""
        self.fates: Counter[str] = Counter()

    def take(self, item: Prepared) -> Acceptance | Failed:
        arrival = arrival_of(item)
        came = self._arrivals.get((arrival.source, arrival.message_id))
        if came is not None and came.body_sha256 != arrival.body_sha256:
            return Failed(MessageChanged(say.MESSAGE_CHANGED()))
        if came is not None and came.order is not None:
            return again(came.order)
        outcome = super().take(item)
        if isinstance(outcome, Acceptance):
            self._arrived(item, arrival, outcome)
        return outcome

    def _arrived(self, item: Prepared, arrival: Arrival, outcome: Acceptance) -> None:
        submission = item.submission
        order = self._keys[submission.partner_id, submission.key]
        fate = Fate.AGAIN if outcome.replayed else Fate.ACCEPTED
        name = (arrival.source, arrival.message_id)
        self._arrivals[name] = Came(arrival.body_sha256, order)
        self.fates[counter(arrival.source, fate)] += 1
        self.rows.append((*name, arrival.body_sha256, item.at, fate.value, order.n))
        if arrival.lease_token is not None:
            self.leases.add((arrival.source, arrival.lease_token))


class ArrivalBatch(LookingBatch):
    """Keeps a batch of submissions that came in messages, and that they came."""

    def desk(self, work: SqlWork, items: Sequence[Prepared]) -> ArrivalDesk:
        keys, refs = known(work.raw, items)
        return ArrivalDesk(work.counters.following(), keys, refs, _known_arrivals(work.raw, items))

    def write(self, work: SqlWork, desk: ArrivalDesk) -> None:
        for source, lease_token in desk.leases:
            work.sources.require(source, lease_token)
        super().write(work, desk)
        work.raw.executemany(_ARRIVAL, desk.rows)
        for name, count in desk.fates.items():
            work.counters.add(name, count)


def arrival_of(item: Prepared) -> Arrival:
    """The message that an item of this lane came in."""
    arrival = item.submission.arrival
    assert arrival is not None  # noqa: S101  # Others take the other lane.
    return arrival


def _known_arrivals(raw: sqlite3.Connection, items: Sequence[Prepared]) -> Arrivals:
    asked = [(one.source, one.message_id) for one in map(arrival_of, items)]
    return dict(map(came_of, look_up(raw, _BY_ID, "(?, ?)", asked)))


def came_of(row: Sequence[Any]) -> tuple[tuple[str, str], Came]:
    """A row of a look-up for arrivals, by its name."""
    source, message_id, body_sha256, n, *order = row
    return (source, message_id), Came(body_sha256, None if n is None else Known(n, *order))
