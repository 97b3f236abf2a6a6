"""Counts the newest envelopes: what was carried, what has arrived, what became of it.

The same SQL on both databases; every class of a consumer comes from one statement, so that the
classes belong to one instant.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Protocol

from msgspec.structs import replace

from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.delivery.ports import Carried, RouteStore
from orderkeep.delivery.tally import Between, Flow, Tally
from orderkeep.kernel.ids import EnvelopeId

NAMED = 200
"""Overdue envelopes of a consumer that are named."""

_LAST = "SELECT max(row) FROM outbox"
_UNSENT = "SELECT count(*) FROM outbox WHERE row > ? AND sent_at IS NULL"
_FLOW = (
    "SELECT count(*), count(i.handled_at),"
    " count(CASE WHEN i.dead_at IS NOT NULL AND i.handled_at IS NULL THEN 1 END),"
    " count(CASE WHEN i.dead_at IS NULL AND i.handled_at IS NULL AND i.row IS NOT NULL THEN 1 END),"
    " count(CASE WHEN i.row IS NULL THEN 1 END),"
    " count(CASE WHEN i.row IS NULL AND o.sent_at < ? THEN 1 END),"
    " count(CASE WHEN o.sent_at < ? AND (i.row IS NULL OR i.received_at > ?) THEN 1 END)"
    " FROM outbox o LEFT JOIN inbox i ON i.consumer = ? AND i.message_id = o.id"
    " WHERE o.row > ? AND o.sent_at IS NOT NULL AND ({meant})"
)
_OVERDUE = (
    "SELECT o.row, o.id, o.kind, o.order_key, o.sent_at FROM outbox o"
    " WHERE o.row > ? AND o.sent_at < ? AND ({meant}) AND NOT EXISTS"
    " (SELECT 1 FROM inbox i WHERE i.consumer = ? AND i.message_id = o.id)"
    " ORDER BY o.row LIMIT ?"
)
_MEANT = "o.kind = ? AND o.sent_at >= ?"
_ALWAYS = 0
"""When a route began that nobody remembers: before anything was carried."""
_NEVER = (-1, -1)
"""Before anything was carried: where no broker was counted, it owes nothing."""


class Work(Protocol):
    """What is read from."""

    @property
    def raw(self) -> Any: ...

    @property
    def routes(self) -> RouteStore: ...


def tally(
    work: Work,
    routes: Mapping[str, Sequence[str]],
    newest: int,
    overdue_since: datetime,
    at_broker: Between | None = None,
) -> Tally:
    """The newest so many envelopes; overdue is what was carried before an instant.

    What was carried before a consumer's route began was not meant for it. ``at_broker`` is when
    the broker was counted, and what it owes is of then.
    """
    last = work.raw.execute(_LAST).fetchone()[0] or 0
    since = max(last - newest, 0)
    owed = (to_micros(at_broker.since), to_micros(at_broker.until)) if at_broker else _NEVER
    instants = to_micros(overdue_since), *owed
    meant = _meant(routes, work.routes.since())
    return Tally(
        counted=last - since,
        unsent=work.raw.execute(_UNSENT, (since,)).fetchone()[0],
        flows=[
            _flow(work, consumer, kinds, since, instants)
            for consumer, kinds in sorted(meant.items())
        ],
    )


def _meant(
    routes: Mapping[str, Sequence[str]], began: Mapping[tuple[str, str], datetime]
) -> dict[str, list[tuple[str, int]]]:
    """By consumer: kinds, and since when what is carried of them is meant for it."""
    meant: dict[str, list[tuple[str, int]]] = {}
    for kind, consumers in sorted(routes.items()):
        for consumer in consumers:
            at = began.get((kind, consumer))
            meant.setdefault(consumer, []).append((kind, to_micros(at) if at else _ALWAYS))
    return meant


def _flow(
    work: Work,
    consumer: str,
    kinds: Sequence[tuple[str, int]],
    since: int,
    instants: tuple[int, ...],
) -> Flow:
    meant, each = _any(kinds), tuple(chain(*kinds))
    counts = work.raw.execute(
        _FLOW.format(meant=meant), (*instants, consumer, since, *each)
    ).fetchone()
    late = work.raw.execute(
        _OVERDUE.format(meant=meant), (since, instants[0], *each, consumer, NAMED)
    )
    overdue = tuple(
        Carried(row, EnvelopeId(id_), kind, key, from_micros(at))
        for row, id_, kind, key, at in late
    )
    return replace(Flow(consumer, *counts), overdue=overdue)


def _any(kinds: Sequence[tuple[str, int]]) -> str:
    return " OR ".join([_MEANT] * len(kinds))
