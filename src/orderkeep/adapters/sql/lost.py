"""The list of orders that other systems lost, in Core: one text for both databases."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Row, and_, func, insert, literal, or_, select, update

from orderkeep.access.keys import OFFICE
from orderkeep.adapters.sql.tables import lost_orders as lost
from orderkeep.adapters.sql.tables import orders, partners
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.ledger.lost import LostOrder
from orderkeep.ledger.lost_list import Entry, LostChanged, LostNotFound, LostState

CHUNK = 500
"""Numbers in one question; databases have a bound."""
LONGEST_REST = timedelta(hours=6)
"""Between two looks at the MES there are minutes, at most."""

_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(LostOrder)
_ENTRY = tuple(lost.c[name] for name in Entry.__struct_fields__ if name != "order")
_MAY_BE_THEIRS = or_(
    lost.c.partner.is_(None),
    partners.c.id == lost.c.partner,
    partners.c.name == lost.c.partner,
    partners.c.id == OFFICE,
)

T = TypeVar("T")


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

    def held(self, rows: Sequence[LostOrder]) -> dict[str, OrderNo]:
        found: dict[str, OrderNo] = {}
        # The index goes by partner first; there are few of them.
        houses = self._connection.execute(select(partners.c.id, partners.c.name)).all()
        for some in _chunks(rows):
            own = {n: one.number for one in some if (n := _own(one.number)) is not None}
            there = select(orders.c.n).where(orders.c.n.in_(own))
            found |= {own[n]: order_no(n) for n in self._connection.execute(there).scalars()}
            for house in houses:
                numbers = [one.number for one in some if _may_be_of(one, *house)]
                found |= self._of(house.id, numbers)
        return found

    def _of(self, partner_id: str, numbers: Sequence[str]) -> dict[str, OrderNo]:
        theirs = and_(orders.c.partner_id == partner_id, orders.c.client_ref.in_(numbers))
        rows = self._connection.execute(select(orders.c.client_ref, orders.c.n).where(theirs))
        return {row.client_ref: order_no(row.n) for row in rows}

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
                "partner": one.partner,
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
            .where(lost.c.state == LostState.OPEN, _MAY_BE_THEIRS)
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
            # What lies farther ahead than any rest was written before the clock was set back.
            .where(or_(lost.c.look_at <= now, lost.c.look_at > now + LONGEST_REST))
            .order_by(lost.c.look_at, lost.c.row)
            .limit(limit)
        )
        return [_entry(row) for row in self._connection.execute(due)]

    def looked(self, row: int, mes: str, detail: str | None, again: datetime | None) -> None:
        told = {"mes": mes, "mes_detail": detail, "look_at": again}
        self._connection.execute(update(lost).where(lost.c.row == row).values(**told))


def _own(number: str) -> int | None:
    """Our own order of this number; digits alone are somebody else's, whatever they add up to."""
    n = order_n(number)
    return n if n is not None and number.upper() == order_no(n) else None


def _may_be_of(row: LostOrder, partner_id: str, name: str) -> bool:
    """Whether a partner's order may be the one; by hand the office brings back everybody's."""
    return row.partner in {None, partner_id, name} or partner_id == OFFICE


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(rows), CHUNK):
        yield rows[at : at + CHUNK]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _entry(row: Row[Any]) -> Entry:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    order = _facts.decode(columns.pop("facts"))
    return Entry(order=order, state=LostState(columns.pop("state")), **columns)
