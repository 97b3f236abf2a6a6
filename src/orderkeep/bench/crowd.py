"""Millions of orders in a minute: written by the database itself, then served like any other."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from orderkeep.adapters.sql.instants import to_micros
from orderkeep.orders.events import NoteAdded, OrderSubmitted, encode
from orderkeep.orders.order import Position

OPERATOR = "op0"
PARTNER = "bench"
_DAY_MICROS = 86_400_000_000

# Of a thousand orders 35 are open; the rest is history, as in a workshop of some years.
_ORDERS = """
WITH RECURSIVE numbers(n, r) AS (
    SELECT 1, 7919 % 1000 UNION ALL SELECT n + 1, (n + 1) * 7919 % 1000 FROM numbers WHERE n < :rows
)
INSERT INTO orders (n, version, partner_id, channel, client_ref, body_sha256, stage, stage_since,
    created_at, changed_at, priority, due_at, due_owner, timer_at, risk, promise_at, summary,
    pieces, price_state, price_total, price_currency, hold_reason, hold_until, claim_operator,
    claim_until, work_order_ref, mes_state, needs_person, is_open, is_claimable)
SELECT n, 2, 'bench', 'api', printf('ref-%010d', n), :sha256,
    CASE WHEN r < 10 THEN 'MANUFACTURING_APPROVED' WHEN r < 15 THEN 'SUBMITTED'
         WHEN r < 20 THEN 'PRICE_CALCULATED' WHEN r < 25 THEN 'MANUFACTURING_STARTED'
         WHEN r < 28 THEN 'MANUFACTURING_COMPLETED' WHEN r < 31 THEN 'PACKAGING'
         WHEN r < 35 THEN 'SHIPPED' WHEN r < 40 THEN 'CANCELLED' ELSE 'CLOSED' END,
    :now - n * 1000, :now - n * 1000, :now - n * 1000, 1 + n * 31 % 9,
    CASE WHEN r < 35 THEN :now + (n * 104729 % 20000 - 5000) * 60000000 END,
    CASE WHEN r < 35 THEN 'operator' END,
    CASE WHEN r < 35 THEN :now + :day + n END,
    CASE WHEN r < 35 AND n % 7 = 0 THEN 'late' WHEN r < 35 AND n % 5 = 0 THEN 'at_risk'
         ELSE 'ok' END,
    :now + 21 * :day, 'au585_yellow × 1', 1,
    CASE WHEN r BETWEEN 10 AND 14 THEN 'manual' ELSE 'ready' END,
    '129.50', 'EUR',
    CASE WHEN r = 18 THEN 'client is asked' END, CASE WHEN r = 18 THEN :now + :day END,
    CASE WHEN r BETWEEN 20 AND 27 THEN 'op' || (n % 16) END, NULL,
    CASE WHEN r < 10 OR r > 19 THEN printf('work-%d', n) END,
    CASE WHEN r < 10 OR r > 19 THEN 'applied' END,
    CASE WHEN r BETWEEN 10 AND 14 THEN 'price' END, r < 35, r < 10
FROM numbers
"""
_EVENTS = """
INSERT INTO events (order_n, seq, partner_id, kind, schema_version, stage, at, actor_kind, actor_id,
    command, source, trace_id, data)
SELECT n, :seq, 'bench', :kind, 1, stage, created_at, 'partner', 'bench', 'accept', 'door',
    '00000000000000000000000000000000', :data
FROM orders ORDER BY n
"""
_COUNTERS = """
INSERT INTO counters (name, value)
SELECT 'stage:' || stage, count(*) FROM orders GROUP BY stage
UNION ALL SELECT 'orders', max(n) FROM orders
"""


def fill(path: Path, rows: int, now: datetime) -> None:
    """Write orders with their first events into a migrated, empty database."""
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        # Nothing here is worth keeping if the machine stops.
        raw.execute("PRAGMA journal_mode=OFF")
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("PRAGMA cache_size=-262144")
        raw.execute("BEGIN")
        _write(raw, rows, now)
        raw.execute("COMMIT")
    finally:
        raw.close()


def _write(raw: sqlite3.Connection, rows: int, now: datetime) -> None:
    at, sha256 = to_micros(now), "0" * 64
    raw.execute("INSERT INTO partners (id, name, created_at) VALUES ('bench', 'Bench', ?)", (at,))
    raw.execute(_ORDERS, {"rows": rows, "now": at, "day": _DAY_MICROS, "sha256": sha256})
    first = OrderSubmitted(
        channel="api",
        positions=[Position(1, 1, material="au585_yellow")],
        body_sha256=sha256,
        promise_at=now + timedelta(days=21),
    )
    for seq, event in ((1, first), (2, NoteAdded("Engraving inside"))):
        kind = str(type(event).__struct_config__.tag)
        raw.execute(_EVENTS, {"seq": seq, "kind": kind, "data": encode(event).decode()})
    raw.execute(_COUNTERS)
