"""The list of orders that other systems lost, in Core: one text for both databases."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, and_, func, insert, literal, or_, select, update

from orderkeep.adapters.sql.tables import lost_orders as lost
from orderkeep.adapters.sql.tables import orders, partners
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.ledger.lost import LostOrder
from orderkeep.ledger.lost_list import Entry, LostChanged, LostNotFound, LostState

CHUNK = 500
"""Numbers in one question; databases have a bound."""

_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(LostOrder)
_ENTRY = tuple(lost.c[name] for name in Entry.__struct_fields__ if name != "order")


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlLost:
    """Implements ``ledger.worklist.LostStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def known(self, source: str, numbers: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for some in _chunks(numbers):
            mine = and_(lost.c.source == source, lost.c.number.in_(some))
            found |= set(self._connection.execute(select(lost.c.number).where(mine)).scalars())
        return found

    def held(self, numbers: Sequence[str]) -> dict[str, OrderNo]:
        found: dict[str, OrderNo] = {}
        # The index goes by partner first; there are few of them.
        houses = self._connection.execute(select(partners.c.id)).scalars().all()
        for some in _chunks(numbers):
            own = {n: text for text in some if (n := order_n(text)) is not None}
            there = select(orders.c.n).where(orders.c.n.in_(own))
            found |= {own[n]: order_no(n) for n in self._connection.execute(there).scalars()}
            for house in houses:
                theirs = and_(orders.c.partner_id == house, orders.c.client_ref.in_(some))
                rows = self._connection.execute(
                    select(orders.c.client_ref, orders.c.n).where(theirs)
                )
                found |= {row.client_ref: order_no(row.n) for row in rows}
        return found

    def add(
        self,
        source: str,
        orders: Sequence[LostOrder],
        held: dict[str, OrderNo],
        by: str,
        now: datetime,
        look_at: datetime | None,
    ) -> None:
        rows = [
            {
                "source": source,
                "number": one.number,
                "facts": _encoder.encode(one).decode(),
                "imported_at": now,
                "imported_by": by,
                "state": LostState.FOUND_HERE if one.number in held else LostState.OPEN,
                "order_no": held.get(one.number),
                "mes": "unknown" if look_at else "unasked",
                "look_at": look_at,
            }
            for one in orders
        ]
        if rows:
            self._connection.execute(insert(lost), rows)

    def match(self, now: datetime, limit: int) -> int:
        """With a limit of 0 it only counts."""
        come = (
            select(lost.c.row, orders.c.n)
            .select_from(lost)
            .join(partners, literal(value=True))
            .join(
                orders,
                and_(orders.c.partner_id == partners.c.id, orders.c.client_ref == lost.c.number),
            )
            .where(lost.c.state == LostState.OPEN)
            .order_by(lost.c.row)
        )
        found = self._connection.execute(come.limit(limit or 1)).all()
        for row in found if limit else ():
            self._connection.execute(
                update(lost)
                .where(lost.c.row == row.row, lost.c.state == LostState.OPEN)
                .values(
                    state=LostState.BROUGHT_BACK,
                    order_no=order_no(row.n),
                    decided_by="match",
                    decided_at=now,
                    version=lost.c.version + 1,
                )
            )
        return len(found)

    def page(
        self, state: str | None, after: int | None, limit: int, text: str = ""
    ) -> Sequence[Entry]:
        page = select(lost.c.facts, *_ENTRY).order_by(lost.c.row).limit(limit)
        if state is not None:
            page = page.where(lost.c.state == state)
        if after is not None:
            page = page.where(lost.c.row > after)
        if text:
            part = f"%{_escaped(text)}%"
            page = page.where(
                or_(lost.c.number.like(part, escape="\\"), lost.c.order_no.like(part, escape="\\"))
            )
        return [_entry(row) for row in self._connection.execute(page)]

    def counts(self) -> dict[str, int]:
        counted = select(lost.c.state, func.count()).group_by(lost.c.state)
        return {str(state): int(count) for state, count in self._connection.execute(counted)}

    def entry(self, row: int) -> Entry:
        one = select(lost.c.facts, *_ENTRY).where(lost.c.row == row)
        found = self._connection.execute(one).one_or_none()
        if found is None:
            raise LostNotFound("There is no such entry.")
        return _entry(found)

    def settle(self, entry: Entry, now: datetime, **columns: Any) -> Entry:
        mine = and_(lost.c.row == entry.row, lost.c.version == entry.version)
        written = self._connection.execute(
            update(lost).where(mine).values(version=entry.version + 1, **columns)
        )
        if not written.rowcount:
            raise LostChanged("Somebody has settled it meanwhile.")
        return self.entry(entry.row)

    def to_look(self, now: datetime, limit: int) -> Sequence[Entry]:
        due = (
            select(lost.c.facts, *_ENTRY)
            .where(lost.c.look_at <= now)
            .order_by(lost.c.look_at, lost.c.row)
            .limit(limit)
        )
        return [_entry(row) for row in self._connection.execute(due)]

    def looked(self, row: int, mes: str, detail: str | None, again: datetime | None) -> None:
        told = {"mes": mes, "mes_detail": detail, "look_at": again}
        self._connection.execute(update(lost).where(lost.c.row == row).values(**told))


def _chunks(numbers: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(numbers), CHUNK):
        yield numbers[at : at + CHUNK]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _entry(row: Row[Any]) -> Entry:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    order = _facts.decode(columns.pop("facts"))
    return Entry(order=order, state=LostState(columns.pop("state")), **columns)
