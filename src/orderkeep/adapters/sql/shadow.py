"""Orders that a shadow saw, in Core: one text for both databases."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)

from orderkeep.adapters.sql.hot_sqlite.counters import CountedWork
from orderkeep.adapters.sql.tables import counters, orders
from orderkeep.adapters.sql.tables import old_road_orders as old_road
from orderkeep.adapters.sql.tables import shadow_orders as shadow
from orderkeep.adapters.sql.types import UtcDateTime
from orderkeep.intake import sentences as say
from orderkeep.intake.shadow import (
    LONGEST_REST,
    Compared,
    Comparison,
    Seen,
    ShadowOrder,
    Verdict,
)
from orderkeep.kernel.ids import PartnerId

CHUNK: Final = 500
"""Numbers in one question; databases have a bound."""

_COLUMNS = tuple(shadow.c[name] for name in ShadowOrder.__struct_fields__)
# Both databases understand this; the number of a shop means one order.
_SEE = text(
    "INSERT INTO shadow_orders (source, client_ref, message_id, body_sha256, at, verdict, why,"
    " state, look_at) VALUES (:source, :client_ref, :message_id, :body_sha256, :at, :verdict, :why,"
    " 'waiting', :at) ON CONFLICT (source, client_ref) DO NOTHING"
).bindparams(bindparam("at", type_=UtcDateTime))
# A page of numbers in one statement; of what a shadow has seen it is known what became of it.
_BEFORE = (
    "INSERT INTO old_road_orders (source, client_ref) SELECT :source, one.value FROM {numbers}"
    " WHERE NOT EXISTS (SELECT 1 FROM shadow_orders s"
    " WHERE s.source = :source AND s.client_ref = one.value)"
    " ON CONFLICT (source, client_ref) DO NOTHING"
)
_BEFORE_ON_POSTGRESQL, _BEFORE_ON_SQLITE = (
    text(_BEFORE.format(numbers=numbers)).bindparams(
        bindparam("source", type_=String()), bindparam("refs", type_=Text())
    )
    for numbers in (
        "json_array_elements_text(CAST(:refs AS json)) AS one (value)",
        "json_each(:refs) AS one",
    )
)


class SqlShadow:
    """Implements ``intake.shadow.ShadowStore``."""

    def __init__(self, work: CountedWork) -> None:
        self._connection = work.connection
        self._counters = work.counters

    def tapped(self, source: str, words: Mapping[str, int]) -> None:
        for word in sorted(words):
            self._counters.add(f"tap:{source}:{word}", words[word])

    def tap_counts(self, source: str) -> Mapping[str, int]:
        prefix = f"tap:{source}:"
        asked = select(counters).where(counters.c.name.startswith(prefix, autoescape=True))
        rows = self._connection.execute(asked)
        return {row.name.removeprefix(prefix): row.value for row in rows}

    def see(self, source: str, seen: Seen, now: datetime) -> None:
        if self._before(source, [seen.client_ref]):
            return  # Nobody asks any more who makes it.
        row = {
            "source": source,
            "client_ref": seen.client_ref,
            "message_id": seen.message_id,
            "body_sha256": seen.body_sha256,
            "at": now,
            "verdict": seen.verdict.value,
            "why": seen.why,
        }
        if self._connection.execute(_SEE, row).rowcount:
            return
        other = and_(
            shadow.c.source == source,
            shadow.c.client_ref == seen.client_ref,
            shadow.c.body_sha256 != seen.body_sha256,
        )
        twice = {"state": Comparison.DIFFERS.value, "detail": say.CAME_TWICE()}
        made, anew = shadow.c.mes_id.is_not(None), {**row, **twice, "look_at": now}
        self._connection.execute(update(shadow).where(other, made).values(**twice, look_at=None))
        self._connection.execute(update(shadow).where(other, ~made).values(**anew))

    def there_before(self, source: str, refs: Collection[str]) -> None:
        on_postgres = self._connection.dialect.name == "postgresql"
        keep = _BEFORE_ON_POSTGRESQL if on_postgres else _BEFORE_ON_SQLITE
        numbers = msgspec.json.encode([ref[:200] for ref in refs]).decode()
        self._connection.execute(keep, {"source": source, "refs": numbers})

    def to_look(self, now: datetime, limit: int) -> Sequence[ShadowOrder]:
        # What lies farther ahead than any rest was written before the clock was set back.
        come = or_(shadow.c.look_at <= now, shadow.c.look_at > now + LONGEST_REST)
        due = select(*_COLUMNS).where(come)
        rows = self._connection.execute(due.order_by(shadow.c.look_at).limit(limit))
        return [_order(row) for row in rows]

    def ours(self, partner_id: PartnerId, client_ref: str) -> str | None:
        own = and_(orders.c.partner_id == partner_id, orders.c.client_ref == client_ref)
        found = self._connection.execute(select(orders.c.body_sha256).where(own)).scalar()
        return None if found is None else str(found)

    def looked(self, order: ShadowOrder, found: Compared) -> None:
        told = {
            "state": found.state.value,
            "detail": found.detail,
            "look_at": found.look_at,
            "looks": shadow.c.looks + 1,
        }
        if found.mes_id is not None:
            told["mes_id"] = found.mes_id[:200]
        as_read = and_(
            shadow.c.row == order.row,
            shadow.c.body_sha256 == order.body_sha256,
            shadow.c.look_at.is_not(None),
        )
        self._connection.execute(update(shadow).where(as_read).values(**told))

    def made_elsewhere(self, source: str, refs: Collection[str]) -> set[str]:
        made = self._among(refs, shadow, shadow.c.source == source, shadow.c.mes_id.is_not(None))
        return made | self._before(source, refs)

    def waited_for(self, source: str, refs: Collection[str]) -> set[str]:
        return self._among(refs, shadow, _looked_for(source))

    def waiting(self, source: str) -> int:
        asked = select(func.count()).select_from(shadow).where(_looked_for(source))
        return int(self._connection.execute(asked).scalar_one())

    def _before(self, source: str, refs: Collection[str]) -> set[str]:
        return self._among(refs, old_road, old_road.c.source == source)

    def _among(self, refs: Collection[str], table: Table, *where: ColumnElement[bool]) -> set[str]:
        """Which of some numbers a table has, where that holds."""
        found: set[str] = set()
        asked = sorted(refs)
        for start in range(0, len(asked), CHUNK):
            these = table.c.client_ref.in_(asked[start : start + CHUNK])
            rows = self._connection.execute(select(table.c.client_ref).where(these, *where))
            found |= set(rows.scalars())
        return found

    def counts(self, source: str) -> Mapping[Comparison, int]:
        own = select(shadow.c.state, func.count()).where(shadow.c.source == source)
        rows = self._connection.execute(own.group_by(shadow.c.state))
        return {Comparison(row[0]): int(row[1]) for row in rows}

    def page(
        self, source: str, state: Comparison | None, before: int | None, limit: int
    ) -> Sequence[ShadowOrder]:
        page = select(*_COLUMNS).where(shadow.c.source == source)
        if state is not None:
            page = page.where(shadow.c.state == state.value)
        if before is not None:
            page = page.where(shadow.c.row < before)
        rows = self._connection.execute(page.order_by(shadow.c.row.desc()).limit(limit))
        return [_order(row) for row in rows]


def _looked_for(source: str) -> ColumnElement[bool]:
    """Without an instant to look at nobody looks any more: the MES cannot be asked."""
    waiting = shadow.c.state.in_([Comparison.WAITING.value, Comparison.DIFFERS.value])
    return and_(shadow.c.source == source, waiting, shadow.c.look_at.is_not(None))


def _order(row: Row[Any]) -> ShadowOrder:
    told = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    told["verdict"], told["state"] = Verdict(told["verdict"]), Comparison(told["state"])
    return ShadowOrder(**told)
