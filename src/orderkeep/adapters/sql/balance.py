"""Where all orders are, counted from indexes: what rests costs an index, what moves is looked at.

Closed and cancelled orders pile up for years, so they are never read, only counted in an index
that is written once in an order's life. Orders that move are few, and each is looked at.
"""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.kernel.ids import order_no
from orderkeep.ledger import sentences as say
from orderkeep.ledger.balance import (
    ON_THE_WAY,
    Balance,
    Class,
    Difference,
    Movers,
    Standing,
    Sums,
    classify,
    stranded,
)
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.order import DRAFT, Stage

NAMED = 1000
"""Differences of one kind that are named; more than that is another kind of trouble."""
CARRIED_WITHIN = timedelta(minutes=5)
"""How long an envelope may wait to be carried before the broker is said to differ."""

_HINT = re.compile(r" INDEXED BY \w+")
_STANDING = "stage, price_state, mes_state, hold_until IS NOT NULL, needs_person IS NOT NULL"
# SQLite would rather walk along all orders of each partner: the index has to be named.
_OPEN = (
    f"SELECT partner_id, {_STANDING}, count(*) FROM orders INDEXED BY ix_orders_open"
    " WHERE is_open GROUP BY 1, 2, 3, 4, 5, 6"
)
_EACH_OPEN = f"SELECT n, {_STANDING} FROM orders WHERE is_open ORDER BY n"
_AT_REST = (
    "SELECT partner_id, stage, count(*) FROM orders INDEXED BY ix_orders_rest"
    " WHERE NOT is_open GROUP BY stage, partner_id"
)
_UNBORN = (
    "SELECT partner_id, count(*) FROM orders INDEXED BY ix_orders_unborn"
    " WHERE NOT is_open AND body_sha256 IS NULL GROUP BY partner_id"
)
_SCRAPPED = (
    "SELECT partner_id, count(*) FROM events INDEXED BY ix_events_scrapped"
    " WHERE kind = 'order.cancelled' AND instr(data, '\"made\"') > 0 GROUP BY partner_id"
)
# The order a kind of envelope is about, from the number people see: digits, then a check digit. The
# database pairs them: after a rush there are a million, and Python would hold up everybody else.
_TRAVELLING = (
    "SELECT CAST(CASE WHEN substr(order_key, 1, 3) = 'OK-' AND length(order_key) BETWEEN 9 AND 21"
    " AND ltrim(substr(order_key, 4), '0123456789') = ''"
    " THEN substr(order_key, 4, length(order_key) - 4) END AS BIGINT) AS n, kind"
)
_MOVED_BY = (
    f"{_TRAVELLING} FROM outbox INDEXED BY ix_outbox_unsent WHERE sent_at IS NULL"
    f" UNION {_TRAVELLING} FROM inbox INDEXED BY ix_inbox_due"
    " WHERE handled_at IS NULL AND dead_at IS NULL"
)
_UNMOVED = (
    f"SELECT o.n, partner_id, {_STANDING}"
    f" FROM orders o LEFT JOIN ({_MOVED_BY}) t ON t.n = o.n AND t.kind = CASE"
    f" WHEN mes_state IN ('pending', 'sending') THEN '{WORK_ORDER_WANTED}'"
    f" ELSE '{PRICE_WANTED}' END"
    " WHERE is_open AND t.n IS NULL AND CASE WHEN mes_state IN ('pending', 'sending')"
    " THEN NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.order_n = o.n"
    " AND d.reference = o.work_order_ref AND (d.next_at IS NOT NULL OR d.state = 'sending'))"
    " ELSE stage IN ('SUBMITTED', 'PRICE_CALCULATED') AND price_state IN ('queued', 'running')"
    " AND NOT EXISTS (SELECT 1 FROM price_jobs j WHERE j.order_n = o.n"
    " AND j.state IN ('queued', 'running')) END"
)
_GAPS = (
    "SELECT p.n + 1, coalesce((SELECT min(o.n) FROM orders o WHERE o.n > p.n), ?1 + 1)"
    " FROM (SELECT 0 AS n UNION ALL SELECT n FROM orders) p"
    " WHERE p.n < ?1 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.n = p.n + 1) LIMIT ?2"
)
_COUNTERS = "SELECT name, value FROM counters WHERE name = 'orders' OR name LIKE 'stage:%'"
# A message that is too long for the tray lies whole in quarantine beside it, and is one message.
_QUARANTINED = (
    "SELECT count(*) FROM quarantine q WHERE settled_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM unknown_messages u WHERE u.source = q.consumer"
    " AND u.message_id = coalesce(q.message_id, '') AND u.received_at = q.at)"
)
_NOT_UNDERSTOOD = "SELECT count(*) FROM unknown_messages WHERE state = 'open'"
_NOT_CARRIED = (
    "SELECT order_key, kind, at FROM outbox WHERE sent_at IS NULL AND at < ?1 ORDER BY row LIMIT ?2"
)

Parked = Mapping[str, Collection[str]]
"""The kinds of envelope that were put aside, by the order's number."""


class Count:
    """One count of everything, on one snapshot."""

    def __init__(self, raw: sqlite3.Connection, parked: Callable[[], Parked]) -> None:
        self._raw = raw
        self._parked = parked
        self._sums: defaultdict[str, Counter[Class]] = defaultdict(Counter)
        self._rows: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()
        self._drafts = 0
        self._classless = 0

    def balance(self, now: datetime) -> Balance:
        """Where all accepted orders are."""
        counters = dict(self._raw.execute(_COUNTERS).fetchall())
        given_out = counters.pop("orders", 0)
        self._count_open()
        self._count_at_rest()
        differences = [
            *self._stranded(),
            *self._gaps(given_out),
            *self._miscounted(counters),
            *self._nowhere(),
            *self._not_carried(now),
        ]
        total = sum(self._sums.values(), Counter[Class]())
        (set_aside,) = self._raw.execute(_QUARANTINED).fetchone()
        (not_understood,) = self._raw.execute(_NOT_UNDERSTOOD).fetchone()
        return Balance(
            at=now,
            accepted=given_out - self._drafts,
            received_not_yet=int(set_aside) + int(not_understood),
            not_understood=int(not_understood),
            drafts=self._drafts,
            differences=differences,
            partners={
                partner: Sums(self._rows[partner], **_named(sums))
                for partner, sums in sorted(self._sums.items())
            },
            **_named(total),
        )

    def _count_open(self) -> None:
        for partner, *standing, count in hinted(self._raw, _OPEN):
            order = _standing(*standing)
            self._stages[order.stage] += count
            if order.stage in DRAFT:
                self._drafts += count
                continue
            self._rows[partner or ""] += count
            class_ = classify(order)
            if class_ is None:
                self._classless += count
            else:
                self._sums[partner or ""][class_] += count

    def _count_at_rest(self) -> None:
        for partner, stage, count in hinted(self._raw, _AT_REST):
            class_ = Class.AT_MES if stage == Stage.CLOSED else Class.CANCELLED
            self._stages[stage] += count
            self._rows[partner or ""] += count
            self._sums[partner or ""][class_] += count
        for partner, count in hinted(self._raw, _UNBORN):
            self._drafts += count
            self._rows[partner or ""] -= count
            self._sums[partner or ""][Class.CANCELLED] -= count
        for partner, count in hinted(self._raw, _SCRAPPED):
            self._sums[partner or ""][Class.CANCELLED] -= count
            self._sums[partner or ""][Class.AT_MES] += count

    def _stranded(self) -> Iterator[Difference]:
        """Orders in flight with neither a question nor a sender: an envelope moves them, or none.

        One whose envelope is a dead letter is quarantined, and only visited here for its class.
        """
        parked: Parked | None = None
        for n, partner, *standing in hinted(self._raw, _UNMOVED):
            order = _standing(*standing)
            if classify(order) is not Class.IN_FLIGHT:
                continue
            parked = self._parked() if parked is None else parked
            wanted = WORK_ORDER_WANTED if order.mes_state in ON_THE_WAY else PRICE_WANTED
            if wanted in parked.get(order_no(n), ()):
                self._sums[partner or ""][Class.IN_FLIGHT] -= 1
                self._sums[partner or ""][Class.QUARANTINED] += 1
            elif why := stranded(order, Movers(False, False, frozenset())):
                yield Difference(order_no(n), say.STRANDED(said=why), kind="stranded")

    def _gaps(self, given_out: int) -> Iterator[Difference]:
        there = sum(self._stages.values())
        if there == given_out:
            return
        named = 0
        for first, following in self._raw.execute(_GAPS, (given_out, NAMED)):
            for n in range(first, min(following, first + NAMED - named)):
                named += 1
                yield Difference(order_no(n), say.NOT_THERE(), kind="missing")
        if not named:
            what = say.FEWER_ORDERS(n=there, told=given_out)
            yield Difference(None, what, kind="missing")

    def _miscounted(self, counters: Mapping[str, int]) -> Iterator[Difference]:
        """The counters that lists show are another count of the same: both have to agree."""
        for stage in sorted({*self._stages, *(name.removeprefix("stage:") for name in counters)}):
            counted, there = counters.get(f"stage:{stage}", 0), self._stages[stage]
            if counted != there:
                what = say.COUNTER_DIFFERS(stage=stage, told=counted, n=there)
                yield Difference(None, what, kind="miscounted", reference=stage)

    def _nowhere(self) -> Iterator[Difference]:
        if not self._classless:
            return
        rows = ((n, _standing(*standing)) for n, *standing in self._raw.execute(_EACH_OPEN))
        lost = ((n, order) for n, order in rows if not classify(order) and order.stage not in DRAFT)
        for n, order in islice(lost, NAMED):
            what = say.RESTS_NOWHERE(stage=order.stage, price=order.price_state)
            yield Difference(order_no(n), what, kind="nowhere")

    def _not_carried(self, now: datetime) -> Iterator[Difference]:
        late = to_micros(now - CARRIED_WITHIN)
        for order_key, kind, at in self._raw.execute(_NOT_CARRIED, (late, NAMED)):
            what = say.NOT_CARRIED(kind=kind, at=f"{from_micros(at):%Y-%m-%d %H:%M}")
            yield Difference(order_key, what, "broker", "not_carried")


def hinted(raw: sqlite3.Connection, sql: str) -> Iterator[Any]:
    """Run a query along the index it names, or without it where somebody has taken that away."""
    try:
        return iter(raw.execute(sql))
    except sqlite3.OperationalError:
        return iter(raw.execute(_HINT.sub("", sql)))  # Slower, and no less true.


def _standing(*row: Any) -> Standing:
    stage, price, mes, held, person = row
    return Standing(stage, price, mes, bool(held), bool(person))


def _named(sums: Counter[Class]) -> dict[str, int]:
    return {str(name): sums[name] for name in Class}
