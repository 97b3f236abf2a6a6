"""Counts the newest envelopes: what was carried, what has arrived, what became of it.

The same SQL on both databases; every class of a consumer comes from one statement, so that the
classes belong to one instant.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.delivery.ports import Carried
from orderkeep.delivery.tally import Flow, Tally
from orderkeep.kernel.ids import EnvelopeId

NAMED = 200
"""Overdue envelopes that are named."""

_LAST = "SELECT max(row) FROM outbox"
_UNSENT = "SELECT count(*) FROM outbox WHERE row > ? AND sent_at IS NULL"
_FLOW = (
    "SELECT count(*), count(i.handled_at),"
    " count(CASE WHEN i.dead_at IS NOT NULL AND i.handled_at IS NULL THEN 1 END),"
    " count(CASE WHEN i.dead_at IS NULL AND i.handled_at IS NULL AND i.row IS NOT NULL THEN 1 END),"
    " count(CASE WHEN i.row IS NULL THEN 1 END)"
    " FROM outbox o LEFT JOIN inbox i ON i.consumer = ? AND i.message_id = o.id"
    " WHERE o.row > ? AND o.sent_at IS NOT NULL AND o.kind IN ({kinds})"
)
_OVERDUE = (
    "SELECT o.row, o.id, o.kind, o.order_key, o.sent_at FROM outbox o"
    " WHERE o.row > ? AND o.sent_at < ? AND o.kind IN ({kinds}) AND NOT EXISTS"
    " (SELECT 1 FROM inbox i WHERE i.consumer = ? AND i.message_id = o.id)"
    " ORDER BY o.row LIMIT ?"
)


class Work(Protocol):
    """What is read from."""

    @property
    def raw(self) -> Any: ...


def tally(
    work: Work, routes: Mapping[str, Sequence[str]], newest: int, overdue_since: datetime
) -> Tally:
    """The newest so many envelopes; overdue is what was carried before an instant."""
    last = work.raw.execute(_LAST).fetchone()[0] or 0
    since = max(last - newest, 0)
    kinds_of: dict[str, list[str]] = {}
    for kind, consumers in sorted(routes.items()):
        for consumer in consumers:
            kinds_of.setdefault(consumer, []).append(kind)
    overdue = {
        row: Carried(row, EnvelopeId(id_), kind, key, from_micros(at))
        for consumer, kinds in kinds_of.items()
        for row, id_, kind, key, at in work.raw.execute(
            _OVERDUE.format(kinds=_marks(kinds)),
            (since, to_micros(overdue_since), *kinds, consumer, NAMED),
        )
    }
    return Tally(
        counted=last - since,
        unsent=work.raw.execute(_UNSENT, (since,)).fetchone()[0],
        flows=[_flow(work, consumer, kinds, since) for consumer, kinds in sorted(kinds_of.items())],
        overdue=[overdue[row] for row in sorted(overdue)],
    )


def _flow(work: Work, consumer: str, kinds: Sequence[str], since: int) -> Flow:
    sql = _FLOW.format(kinds=_marks(kinds))
    return Flow(consumer, *work.raw.execute(sql, (consumer, since, *kinds)).fetchone())


def _marks(kinds: Sequence[str]) -> str:
    return ", ".join("?" * len(kinds))
