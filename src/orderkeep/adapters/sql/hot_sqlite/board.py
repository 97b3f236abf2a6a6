"""The board on SQLite: every list walks an index from where the last page ended.

A filter picks the index that narrows most; what it does not cover is checked row by row, over a
bounded stretch of the index, so that a rare match costs the client another page and never the
server a long read. A list of several stages walks several stretches at once and merges them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

from orderkeep.adapters.sql.hot_sqlite.board_rows import Connected, read_rows
from orderkeep.board.filters import Cursor, Filter, PageQuery, Sort
from orderkeep.board.ports import Page
from orderkeep.kernel.ids import order_n
from orderkeep.orders.order import FINAL, Stage

STRETCH = 2000
"""Index entries looked at for one page when a filter has no index of its own: a few ms."""

_RANK = ("priority", "due_at", "n")
_DUE = ("due_at", "n")
_HELD = ("hold_until", "n")
_PAST = ("-stage_since", "n")
_CHANGED = ("-position",)
_PRIORITIES = range(1, 10)


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL and its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of one index, in the list's order."""

    index: str
    where: Condition


@dataclass(frozen=True, slots=True)
class Plan:
    """How a filter is walked: the legs are disjoint, ``rest`` is checked row by row."""

    legs: tuple[Leg, ...]
    key: tuple[str, ...]
    rest: tuple[Condition, ...] = ()


class _Seen(NamedTuple):
    """An index entry: its place in the list, and whether it belongs there."""

    place: tuple[int, ...]
    key: tuple[int | None, ...]
    n: int
    kept: bool
    is_cut: bool = False
    """Not an entry, but the end of what may be looked at for one page."""


_PLACE = attrgetter("place")


def read_page(work: Connected, query: PageQuery) -> Page:
    """One page of a filter's list."""
    n = order_n(query.filter.text) if query.filter.text else None
    if n is not None:
        return Page(read_rows(work, [n]), None)
    return walk(work, plan(query.filter), query.after, query.limit)


def walk(work: Connected, planned: Plan, after: Cursor | None, limit: int) -> Page:
    """Walk a plan from where a page ended; a cursor of another order begins anew."""
    if after is not None and (
        after.order != _name(planned.key) or len(after.key) != len(planned.key)
    ):
        after = None
    stretch = max(STRETCH // len(planned.legs), 2) if planned.rest else limit + 1
    walked = [_keys(work, planned, leg, after, stretch) for leg in planned.legs]
    found: list[_Seen] = []
    last: _Seen | None = None
    for seen in merge(*walked, key=_PLACE):
        if len(found) == limit:
            break
        last = seen
        if seen.is_cut:
            break  # Beyond it, another leg's rows would come too early.
        if seen.kept:
            found.append(seen)
    else:
        last = None
    rows = read_rows(work, [seen.n for seen in found])
    return Page(rows, Cursor(_name(planned.key), last.key) if last else None)


# --- plans --------------------------------------------------------------------------------------


def plan(wanted: Filter) -> Plan:
    """Which stretches of which index a filter walks."""
    past = [stage for stage in wanted.stages if stage in FINAL]
    if wanted.sort is Sort.CHANGED or (past and not wanted.is_of_the_past):
        return _by_change(wanted)
    if past:
        return Plan(_past_legs(wanted.stages), _PAST, _rest(wanted, "stage"))
    driver, legs = _driver(wanted)
    if driver == "held":
        return Plan(legs, _HELD, _rest(wanted, driver))
    if wanted.sort is Sort.DUE:
        # Every index goes by priority first: one leg a priority gives the order by due alone.
        legs = tuple(
            Leg(leg.index, Condition(f"{leg.where.sql} AND priority = ?", (*leg.where.values, p)))
            for leg in legs
            for p in _PRIORITIES
        )
        return Plan(legs, _DUE, _rest(wanted, driver))
    return Plan(legs, _RANK, _rest(wanted, driver))


def _driver(wanted: Filter) -> tuple[str, tuple[Leg, ...]]:
    """The part of the filter that narrows most, and its legs."""
    if wanted.operator is not None:
        where = Condition("is_open AND claim_operator = ?", (wanted.operator,))
        return "operator", (Leg("ix_orders_operator", where),)
    if wanted.free:
        return "free", (Leg("ix_orders_claimable", Condition("is_claimable")),)
    if wanted.needs:
        return "needs", _each("ix_orders_person", "needs_person = ?", wanted.needs)
    risks = tuple(risk for risk in wanted.risks if risk != "ok")
    if wanted.risks and risks == wanted.risks:
        return "risk", _each("ix_orders_risk", "risk <> 'ok' AND is_open AND risk = ?", risks)
    if wanted.held:
        where = Condition("is_open AND hold_until IS NOT NULL")
        return "held", (Leg("ix_orders_held", where),)
    if wanted.stages:
        stages = tuple(str(stage) for stage in wanted.stages)
        return "stage", _each("ix_orders_stage", "is_open AND stage = ?", stages)
    return "open", (Leg("ix_orders_open", Condition("is_open")),)


def _each(index: str, sql: str, values: Sequence[str]) -> tuple[Leg, ...]:
    return tuple(Leg(index, Condition(sql, (value,))) for value in values)


def _past_legs(stages: Sequence[Stage]) -> tuple[Leg, ...]:
    # A closed order whose return is open counts as open and is in the other index; they are few.
    return tuple(
        leg
        for stage in stages
        for leg in (
            Leg("ix_orders_done", Condition("NOT is_open AND stage = ?", (str(stage),))),
            Leg("ix_orders_stage", Condition("is_open AND stage = ?", (str(stage),))),
        )
    )


def _by_change(wanted: Filter) -> Plan:
    """The newest events backwards: an order stands where its last event does."""
    rest = _rest(wanted, "")
    if not wanted.stages:
        rest = (Condition("o.is_open"), *rest)
    last = Condition("o.version = e.seq")
    return Plan((Leg("events", Condition("true")),), _CHANGED, (last, *rest))


def _rest(wanted: Filter, driver: str) -> tuple[Condition, ...]:
    """What the driver's index does not check."""
    conditions = {
        "stage": _among("o.stage", wanted.stages),
        "risk": _among("o.risk", wanted.risks),
        "needs": _among("o.needs_person", wanted.needs),
        "operator": _equal("o.claim_operator", wanted.operator),
        "free": Condition("o.is_claimable") if wanted.free else None,
        "held": Condition("o.hold_until IS NOT NULL") if wanted.held else None,
        "channel": _equal("o.channel", wanted.channel),
        "partner": _partner(wanted.partner),
        "material": _contains("o.summary", wanted.material),
        "text": _text(wanted.text),
    }
    return tuple(
        condition for name, condition in conditions.items() if condition and name != driver
    )


def _among(column: str, values: Sequence[str]) -> Condition | None:
    marks = ", ".join("?" * len(values))
    return Condition(f"{column} IN ({marks})", tuple(map(str, values))) if values else None


def _equal(column: str, value: str | None) -> Condition | None:
    return None if value is None else Condition(f"{column} = ?", (value,))


def _contains(column: str, text: str | None) -> Condition | None:
    return None if text is None else Condition(f"instr({column}, ?) > 0", (text,))


def _partner(value: str | None) -> Condition | None:
    if value is None:
        return None
    sql = "(o.partner_id = ? OR o.partner_id = (SELECT id FROM partners WHERE name = ?))"
    return Condition(sql, (value, value))


def _text(text: str | None) -> Condition | None:
    if text is None:
        return None
    sql = "(instr(lower(o.client_ref), lower(?)) > 0 OR instr(lower(o.summary), lower(?)) > 0)"
    return Condition(sql, (text, text))


# --- walking ------------------------------------------------------------------------------------


def _keys(
    work: Connected, planned: Plan, leg: Leg, after: Cursor | None, stretch: int
) -> Iterator[_Seen]:
    """The entries of a leg from a place on, in order, read as they are asked for."""
    beyond = _beyond(planned.key, after.key) if after else Condition("true")
    kept = " AND ".join(condition.sql for condition in planned.rest) or "true"
    checked = [value for condition in planned.rest for value in condition.values]
    columns = ", ".join(column.lstrip("-") for column in planned.key)
    statement = (
        f"SELECT {columns}, o.n, {kept} FROM {_source(leg)} WHERE {leg.where.sql} AND {beyond.sql}"
        f" ORDER BY {', '.join(map(_direction, planned.key))} LIMIT ?"
    )
    values = (*checked, *leg.where.values, *beyond.values, stretch)
    descends = planned.key[0].startswith("-")
    seen, count = None, 0
    for *key, n, belongs in work.raw.execute(statement, values):
        seen = _Seen(_place(key, descends=descends), tuple(key), n, bool(belongs))
        count += 1
        yield seen
    if seen is not None and count == stretch:
        yield seen._replace(is_cut=True)


def _place(key: Sequence[int | None], *, descends: bool) -> tuple[int, ...]:
    """Comparable as the database compares: an empty value before all others, all above zero."""
    first, *others = [-1 if value is None else value for value in key]
    return (-first if descends else first, *others)


def _source(leg: Leg) -> str:
    if leg.index == "events":
        return "events e CROSS JOIN orders o ON o.n = e.order_n"
    # A missing index is to be an error, not a list that takes seconds.
    return f"orders o INDEXED BY {leg.index}"


def _direction(column: str) -> str:
    if column == "due_at":
        return "due_at NULLS FIRST"  # as it is anyway on SQLite, and not on PostgreSQL
    return f"{column[1:]} DESC" if column.startswith("-") else column


def _beyond(key: tuple[str, ...], after: Sequence[int | None]) -> Condition:
    """Everything after a place, as one range of the index where SQL allows it."""
    first, *others = key
    if first.startswith("-"):
        column, value = first[1:], after[0]
        if not others:
            return Condition(f"{column} < ?", (value,))
        sql = f"{column} <= ? AND ({column} < ? OR n > ?)"
        return Condition(sql, (value, value, after[1]))
    if None not in after:
        marks = ", ".join("?" * len(key))
        return Condition(f"({', '.join(key)}) > ({marks})", tuple(after))
    if key == _RANK:
        sql = "priority >= ? AND (priority > ? OR due_at IS NOT NULL OR n > ?)"
        return Condition(sql, (after[0], after[0], after[2]))
    return Condition(f"({first} IS NOT NULL OR n > ?)", (after[1],))


def _name(key: tuple[str, ...]) -> str:
    """What a cursor calls the order it belongs to."""
    return key[0].lstrip("-")
