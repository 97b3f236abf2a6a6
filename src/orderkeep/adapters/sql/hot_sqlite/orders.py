"""Orders on SQLite: events are the truth, the board's row is written in the same commit."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from orderkeep.adapters.sql.hot_sqlite.base import Work
from orderkeep.adapters.sql.hot_sqlite.counters import of_stage
from orderkeep.adapters.sql.instants import from_micros, to_micros
from orderkeep.kernel.errors import StaleOrder
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.events import (
    SCHEMA_VERSION,
    Actor,
    ActorKind,
    Cause,
    Recorded,
    decode,
    encode,
    kind_of,
)
from orderkeep.orders.order import Stage
from orderkeep.orders.ports import OrderNotFound
from orderkeep.orders.view import BoardRow

COLUMNS = tuple(field for field in BoardRow.__struct_fields__ if field != "order_no")
"""Of the board's row, in the table's words; ``n`` stands for the order's number."""

_HISTORY = (
    "SELECT seq, at, stage, actor_kind, actor_id, actor_role, command, source, trace_id, data"
    " FROM events WHERE order_n = ? ORDER BY seq"
)
_VERSION_OF = "SELECT version FROM orders WHERE n = ?"
_TRACE = "SELECT trace_id FROM events WHERE order_n = ? AND seq = 1"
RECORD = (
    "INSERT INTO events (order_n, seq, partner_id, kind, schema_version, stage, at, actor_kind,"
    " actor_id, actor_role, command, source, trace_id, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ROW = f"SELECT {', '.join(COLUMNS)} FROM orders WHERE n = ?"
_OPEN = f"INSERT INTO orders (n, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"
_INSTANTS = frozenset(column for column in COLUMNS if column.endswith(("_at", "_until", "_since")))
_FLAGS = frozenset({"is_open", "is_claimable"})
_VERSION = COLUMNS.index("version")
_STAGE = COLUMNS.index("stage")


class SqlOrders:
    """Implements ``orders.ports.OrderStore``."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._raw = work.raw

    def history(self, no: OrderNo) -> Sequence[Recorded]:
        found = self._raw.execute(_HISTORY, (order_n(no),)).fetchall()
        if not found:
            raise OrderNotFound(f"There is no order {no}")
        return [recorded_from(no, *row) for row in found]

    def version(self, no: OrderNo) -> int:
        found = self._raw.execute(_VERSION_OF, (order_n(no),)).fetchone()
        return int(found[0]) if found else 0

    def trace_id(self, no: OrderNo) -> str:
        found = self._raw.execute(_TRACE, (order_n(no),)).fetchone()
        return str(found[0]) if found else ""

    def append(self, before_version: int, recorded: Sequence[Recorded], row: BoardRow) -> None:
        n = order_n(row.order_no)
        before = self._row(n)
        if before is None or before[_VERSION] != before_version:
            raise StaleOrder(f"{row.order_no} has moved on", order_no=row.order_no)
        after = self._columns(row)
        self._replace(n, before, after)
        self._record(n, recorded, row)
        self._work.counters.moved(before[_STAGE], after[_STAGE])

    def next_no(self) -> OrderNo:
        return order_no(self._work.counters.take(1))

    def open(self, first: Sequence[Recorded], row: BoardRow) -> None:
        n = order_n(row.order_no)
        self._raw.execute(_OPEN, (n, *self._columns(row)))
        self._record(n, first, row)
        self._work.counters.add(of_stage(row.stage), 1)

    def _row(self, n: int | None) -> Any:
        return self._raw.execute(_ROW, (n,)).fetchone()

    def _columns(self, row: BoardRow) -> tuple[Any, ...]:
        return columns(row)

    def _replace(self, n: int | None, before: Sequence[Any], after: Sequence[Any]) -> None:
        # Only what changed: SQLite rewrites every index that mentions an assigned column.
        changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        settings = ", ".join(f"{COLUMNS[i]} = ?" for i in changed)
        values = [after[i] for i in changed]
        self._raw.execute(f"UPDATE orders SET {settings} WHERE n = ?", (*values, n))

    def _record(self, n: int | None, recorded: Sequence[Recorded], row: BoardRow) -> None:
        self._raw.executemany(RECORD, [event_row(n, row.partner_id, one) for one in recorded])
        self._work.changed(row)


def columns(row: BoardRow) -> tuple[Any, ...]:
    """The row as SQLite keeps it: instants in microseconds, words as plain text."""
    return tuple([_plain(getattr(row, column)) for column in COLUMNS])


def row_from(n: int, values: Sequence[Any]) -> BoardRow:
    """The board's row of the n-th order from its ``COLUMNS``."""
    fields = [read(value) for read, value in zip(_READERS, values, strict=True)]
    return BoardRow(order_no(n), *fields)


def _plain(value: Any) -> Any:
    # Exactly int or str: the driver looks for an adapter for every subclass, bool and enum too.
    if isinstance(value, datetime):
        return to_micros(value)
    if isinstance(value, str):
        return str(value)
    return int(value) if isinstance(value, bool) else value


def _reader(column: str) -> Callable[[Any], Any]:
    if column in _INSTANTS:
        return lambda value: None if value is None else from_micros(value)
    if column in _FLAGS:
        return bool
    return Stage if column == "stage" else _as_is


def _as_is(value: Any) -> Any:
    return value


_READERS = [_reader(column) for column in COLUMNS]


def event_row(n: int | None, partner_id: str | None, one: Recorded) -> tuple[Any, ...]:
    """The values of ``RECORD``."""
    cause = one.cause
    return (
        n,
        one.seq,
        partner_id,
        kind_of(one.event),
        SCHEMA_VERSION,
        one.stage.value,
        to_micros(one.at),
        cause.actor.kind.value,
        cause.actor.id,
        cause.actor.role,
        cause.command,
        cause.source,
        cause.trace_id,
        encode(one.event).decode(),
    )


def recorded_from(  # noqa: PLR0913, PLR0917  # the columns, in their order
    no: OrderNo,
    seq: int,
    at: int,
    stage: str,
    actor_kind: str,
    actor_id: str,
    actor_role: str | None,
    command: str,
    source: str,
    trace_id: str,
    data: str,
) -> Recorded:
    cause = Cause(Actor(ActorKind(actor_kind), actor_id, actor_role), command, source, trace_id)
    return Recorded(no, seq, from_micros(at), Stage(stage), cause, decode(data))
