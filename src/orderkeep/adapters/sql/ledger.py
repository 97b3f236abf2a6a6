"""The ledger's view of SQLite: one read transaction, walked order by order.

On the bare driver and without the store: `orderkeep verify` and `orderkeep export` must start at
once, beside a running server or without one, and must not share the code whose work they check.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from orderkeep.adapters.sql.balance import Count, hinted
from orderkeep.adapters.sql.version import is_served, not_served
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.ledger.balance import Balance
from orderkeep.ledger.evidence import Case, Filed, FloorJob, Stored, Violation, Way
from orderkeep.orders.events import Actor, ActorKind, Cause, Recorded, decode
from orderkeep.orders.order import Stage
from orderkeep.orders.view import BoardRow

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
_DESTINATION = "mes"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = tuple(name for name in BoardRow.__struct_fields__ if name != "order_no")
_INSTANTS = frozenset(name for name in _FIELDS if name.endswith(("_at", "_until", "_since")))
_FLAGS = frozenset({"is_open", "is_claimable"})

_ORDERS = f"SELECT n, {', '.join(_FIELDS)} FROM orders ORDER BY n"
_EVENTS = (
    "SELECT order_n, seq, at, stage, actor_kind, actor_id, actor_role, command, source, trace_id,"
    " data, kind, partner_id FROM events ORDER BY order_n, seq"
)
_BODIES = "SELECT order_n, body FROM submissions ORDER BY order_n"
_WAYS = (
    "SELECT order_n, reference, state, next_at IS NOT NULL FROM deliveries"
    f" WHERE destination = '{_DESTINATION}' ORDER BY order_n"
)
_JOBS = "SELECT reference, body_sha256, positions FROM floor_work_orders WHERE order_no = ?"
_WITHOUT_KEY = (
    "SELECT n FROM orders WHERE partner_id IS NOT NULL AND body_sha256 IS NOT NULL"
    " AND n NOT IN (SELECT order_n FROM idempotency)"
)
_QUESTIONS = "SELECT order_n, version FROM price_jobs WHERE state IN ('queued', 'running')"
_TRAVELLING = (
    "SELECT order_key, kind FROM outbox INDEXED BY ix_outbox_unsent WHERE sent_at IS NULL"
    " UNION SELECT order_key, kind FROM inbox INDEXED BY ix_inbox_due"
    " WHERE handled_at IS NULL AND dead_at IS NULL"
)
_PARKED = (
    "SELECT DISTINCT order_key, kind FROM inbox INDEXED BY ix_inbox_parked"
    " WHERE dead_at IS NOT NULL"
)

# Unique constraints promise that these two find nothing; a check does not lean on promises.
_KEYS_OF_TWO = (
    "SELECT partner_id, order_n FROM idempotency WHERE (partner_id, key) IN"
    " (SELECT partner_id, key FROM idempotency GROUP BY partner_id, key HAVING count(*) > 1)"
)
_REFS_OF_TWO = (
    "SELECT n, client_ref FROM orders WHERE (partner_id, client_ref) IN (SELECT partner_id,"
    " client_ref FROM orders GROUP BY partner_id, client_ref HAVING count(*) > 1)"
)
_KEYS_WITHOUT_ORDER = "SELECT order_n FROM idempotency WHERE order_n NOT IN (SELECT n FROM orders)"
_KEYS_OF_OTHERS = (
    "SELECT k.order_n, k.partner_id IS NOT o.partner_id FROM idempotency k JOIN orders o"
    " ON o.n = k.order_n WHERE k.partner_id IS NOT o.partner_id"
    " OR k.body_sha256 IS NOT o.body_sha256"
)

_EXPORT = (
    "SELECT o.n, o.client_ref, o.channel, o.stage, o.mes_state, c.state FROM orders o"
    " LEFT JOIN crm_orders c ON c.order_n = o.n ORDER BY o.n"
)
_EXPORTED = (
    "SELECT order_n, seq, kind, stage, at, actor_kind, actor_id FROM events ORDER BY order_n, seq"
)


class NotReadable(Refused):
    """There is no database of this program's schema; the message says what to do."""


class SqlLedger:
    """Implements ``ledger.ports.Ledger`` on a connection of its own."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotReadable(f"There is no database {path}.")
        self._raw = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        self._raw.execute("PRAGMA query_only=ON")
        self._raw.execute("PRAGMA temp_store=MEMORY")
        self._raw.execute("PRAGMA cache_size=-65536")
        found = _schema(self._raw)
        if not is_served(found):
            self.close()
            raise NotReadable(not_served(found, str(path)))

    @contextmanager
    def snapshot(self) -> Iterator["SqlSnapshot"]:
        self._raw.execute("BEGIN")
        try:
            yield SqlSnapshot(self._raw)
        finally:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        """Let the file go."""
        self._raw.close()


class SqlSnapshot:
    """Implements ``ledger.ports.Snapshot``; whoever made the connection holds the transaction."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def given_out(self) -> int:
        row = self._raw.execute("SELECT value FROM counters WHERE name = 'orders'").fetchone()
        return 0 if row is None else int(row[0])

    def stored(self, file_id: str) -> Stored | None:
        row = self._raw.execute(
            "SELECT sha256, size_bytes FROM files WHERE id = ?", (file_id,)
        ).fetchone()
        return None if row is None else Stored(*row)

    def stage_counts(self) -> Mapping[str, int]:
        rows = self._raw.execute("SELECT name, value FROM counters WHERE name LIKE 'stage:%'")
        return {name.removeprefix("stage:"): value for name, value in rows}

    def still_at_mes(self, reference: str) -> bool:
        return bool(
            self._raw.execute(
                "SELECT 1 FROM deliveries WHERE destination = ? AND reference = ?"
                " AND state IN ('confirmed', 'received', 'applied')",
                (_DESTINATION, reference),
            ).fetchone()
        )

    # --- order by order ---------------------------------------------------------------------------

    def cases(self) -> Iterator[Case]:
        orders = _Walk(self._raw.execute(_ORDERS))
        events = _Walk(self._raw.execute(_EVENTS))
        bodies = _Walk(self._raw.execute(_BODIES))
        ways = _Walk(self._raw.execute(_WAYS))
        without_key = {n for (n,) in self._raw.execute(_WITHOUT_KEY)}
        asides = _Asides(self._raw)
        for n in _numbers(self.given_out(), orders, events):
            yield _case(
                n,
                orders.of(n),
                events.of(n),
                body=next((_bytes(body) for _, body in bodies.of(n)), None),
                has_key=n not in without_key,
                ways=tuple(Way(one[1], one[2], bool(one[3])) for one in ways.of(n)),
                **asides.of(n),
            )

    # --- across orders ----------------------------------------------------------------------------

    def doubles(self) -> Iterator[Violation]:
        last = self.given_out()
        for (n,) in self._raw.execute("SELECT n FROM orders WHERE n > ?", (last,)):
            yield Violation("S1", order_no(n), f"its number was never given out: {last} were")
        for (n,) in self._raw.execute(_KEYS_WITHOUT_ORDER):
            yield Violation("S1", order_no(n), "a partner's key leads to it, and it is not there")
        for partner_id, n in self._raw.execute(_KEYS_OF_TWO):
            what = f"a key of partner {partner_id} means it and another order"
            yield Violation("S2", order_no(n), what)
        for n, _ in self._raw.execute(_REFS_OF_TWO):
            yield Violation("S2", order_no(n), "its client's number means another order too")
        for n, stranger in self._raw.execute(_KEYS_OF_OTHERS):
            whose = "another partner" if stranger else "another submission"
            yield Violation("S2", order_no(n), f"a key that leads to it belongs to {whose}")

    # --- the balance ------------------------------------------------------------------------------

    def balance(self, now: datetime) -> Balance:
        return Count(self._raw, lambda: _sets(hinted(self._raw, _PARKED))).balance(now)

    # --- export -----------------------------------------------------------------------------------

    def exported(self) -> Iterator[dict[str, Any]]:
        """Every order with its events, as `orderkeep export --json` prints it."""
        events = _Walk(self._raw.execute(_EXPORTED))
        for n, client_ref, channel, stage, mes_state, crm_state in self._raw.execute(_EXPORT):
            yield {
                "order_no": order_no(n),
                "client_ref": client_ref,
                "channel": channel,
                "stage": stage,
                "delivery": {"mes": mes_state, "crm": crm_state},
                "events": [_exported(*event[1:]) for event in events.of(n)],
            }


def ledger_of(work: Any) -> SqlSnapshot:
    """The ledger's view inside a unit of work of the store."""
    return SqlSnapshot(work.raw)


class _Walk:
    """Rows in the order of their first column, handed out number by number."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next: tuple[int, list[tuple[Any, ...]]] | None = None
        self._advance()

    @property
    def next(self) -> int | None:
        """The number that comes next, if any is left."""
        return None if self._next is None else self._next[0]

    def of(self, n: int) -> list[tuple[Any, ...]]:
        """The rows of a number; numbers have to be asked for in order."""
        while self._next is not None and self._next[0] < n:
            self._advance()
        if self._next is None or self._next[0] != n:
            return []
        rows = self._next[1]
        self._advance()
        return rows

    def _advance(self) -> None:
        number, group = next(self._groups, (None, None))
        self._next = None if number is None else (number, list(group or ()))


def _numbers(last: int, *walks: _Walk) -> Iterator[int]:
    """Every number given out, and those beyond that something is there for all the same."""
    yield from range(1, last + 1)
    while left := [walk.next for walk in walks if walk.next is not None]:
        yield min(left)


class _Asides:
    """What waits or was put aside: little, however many orders there are."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._questions = _sets((order_no(n), version) for n, version in raw.execute(_QUESTIONS))
        self._travelling = _sets(hinted(raw, _TRAVELLING))
        self._parked = _sets(hinted(raw, _PARKED))
        self._floor = raw.execute("SELECT 1 FROM floor_work_orders LIMIT 1").fetchone()

    def of(self, n: int) -> dict[str, Any]:
        """The part of a case that is found by order number."""
        number = order_no(n)
        return {
            "jobs": self._jobs(number) if self._floor else (),
            "questions": frozenset(self._questions.get(number, ())),
            "travelling": frozenset(self._travelling.get(number, ())),
            "parked": frozenset(self._parked.get(number, ())),
        }

    def _jobs(self, number: str) -> tuple[FloorJob, ...]:
        rows = self._raw.execute(_JOBS, (number,))
        return tuple(
            FloorJob(reference, body, msgspec.json.decode(lines)) for reference, body, lines in rows
        )


def _sets(pairs: Any) -> dict[str, set[Any]]:
    sets: dict[str, set[Any]] = {}
    for key, value in pairs:
        sets.setdefault(key, set()).add(value)
    return sets


def _case(
    n: int, orders: list[tuple[Any, ...]], events: list[tuple[Any, ...]], **facts: Any
) -> Case:
    unreadable: list[str] = []
    row = None
    for values in orders:
        row = _read(_row, values, "its row", unreadable)
    filed_for = partial(_filed, order_no(n))  # Once an order: its check digit is not for free.
    history = [_read(filed_for, event, f"event {event[1]}", unreadable) for event in events]
    readable = tuple(filed for filed in history if filed is not None)
    whole = readable if len(readable) == len(history) else ()
    return Case(
        n=n, there=bool(orders), row=row, history=whole, unreadable=tuple(unreadable), **facts
    )


def _read(
    read: Callable[[tuple[Any, ...]], T], values: tuple[Any, ...], name: str, said: list[str]
) -> T | None:
    try:
        return read(values)
    except (ValueError, TypeError, OverflowError) as error:  # msgspec's are ValueErrors
        said.append(f"{name} cannot be read: {type(error).__name__}")
        return None


def _row(values: tuple[Any, ...]) -> BoardRow:
    n, *columns = values
    named = {name: _column(name, value) for name, value in zip(_FIELDS, columns, strict=True)}
    return BoardRow(order_no=order_no(n), **named)


def _column(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return None if value is None else _instant(value)
    if name in _FLAGS:
        return bool(value)
    return Stage(value) if name == "stage" else value


def _filed(no: OrderNo, event: tuple[Any, ...]) -> Filed:
    _, seq, at, stage, kind, actor, role, command, source, trace_id, data, filed, partner = event
    cause = Cause(Actor(ActorKind(kind), actor, role), command, source, trace_id)
    recorded = Recorded(no, seq, _instant(at), Stage(stage), cause, decode(data))
    return Filed(recorded, filed, partner)


def _bytes(stored: Any) -> bytes:
    """Whoever changed a body by hand may have left a text behind."""
    return stored if isinstance(stored, bytes) else str(stored).encode()


def _exported(
    seq: int, kind: str, stage: str, at: int, actor_kind: str, actor_id: str
) -> dict[str, Any]:
    actor = f"{actor_kind}:{actor_id}"
    return {"seq": seq, "kind": kind, "stage": stage, "at": _instant(at), "actor": actor}


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _schema(raw: sqlite3.Connection) -> str | None:
    try:
        row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else str(row[0])
