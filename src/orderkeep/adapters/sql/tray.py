"""The tray of unknown messages, in Core: one text for both databases."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)

from orderkeep.adapters.sql.tables import quarantine
from orderkeep.adapters.sql.tables import unknown_messages as tray
from orderkeep.bridge.tray import (
    MOST_BODY,
    MOST_OPEN,
    MOST_WHY,
    Kept,
    TrayFull,
    TrayState,
    Unknown,
    UnknownNotFound,
    harmless,
)

_COLUMNS = tuple(name for name in Kept.__struct_fields__ if name != "row")
_KEPT = (tray.c.row, *(tray.c[name] for name in _COLUMNS))
_KNOWN = (
    select(tray.c.row)
    .where(
        tray.c.source == bindparam("source"),
        tray.c.message_id == bindparam("message_id"),
        tray.c.body_sha256 == bindparam("body_sha256"),
    )
    .limit(1)
)
_FULL = (
    select(tray.c.row)
    .where(tray.c.source == bindparam("source"), tray.c.state == TrayState.OPEN.value)
    .offset(MOST_OPEN - 1)
    .limit(1)
)
_INSERTED = (
    "source", "message_id", "body_sha256", "received_at", "why", "body", "size_bytes", "headers",
    "state",
)  # fmt: skip
# Both databases understand this, and of two that hear the same at once one keeps it.
_KEEP = text(
    f"INSERT INTO unknown_messages ({', '.join(_INSERTED)})"  # Our own names.
    f" VALUES ({', '.join(':' + name for name in _INSERTED)})"
    " ON CONFLICT (source, message_id, body_sha256) DO NOTHING"
).bindparams(*(bindparam(name, type_=tray.c[name].type) for name in _INSERTED))

_SETTLED = tray.c.state != TrayState.OPEN.value
_NAMED = (
    tray.c.source.label("of"),
    tray.c.message_id.label("named"),
    tray.c.received_at.label("came_at"),
    (tray.c.size_bytes > MOST_BODY).label("long"),
)
_EMPTY = (
    update(quarantine)
    .where(
        quarantine.c.consumer == bindparam("of"),
        func.coalesce(quarantine.c.message_id, "") == bindparam("named"),
        quarantine.c.at == bindparam("came_at"),
        quarantine.c.settled_at.is_(None),
    )
    .values(settled_at=bindparam("settled_at"), body=b"")
)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlTray:
    """Implements ``bridge.tray.TrayStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def keep(self, unknown: Unknown, now: datetime) -> bool:
        known_as = {
            "source": unknown.source,
            "message_id": (unknown.message_id or "")[:200],
            "body_sha256": unknown.sha256,
        }
        if self._connection.execute(_KNOWN, known_as).first() is not None:
            return False
        if self._connection.execute(_FULL, {"source": unknown.source}).first() is not None:
            raise TrayFull("Too many unknown messages wait for a person.", source=unknown.source)
        kept = {
            "received_at": now,
            "why": unknown.why[:MOST_WHY],
            "body": unknown.body[:MOST_BODY],
            "size_bytes": len(unknown.body),
            "headers": msgspec.json.encode(harmless(unknown.headers)).decode(),
            "state": TrayState.OPEN.value,
        }
        return self._connection.execute(_KEEP, known_as | kept).rowcount == 1

    def get(self, row: int) -> Kept:
        found = self._connection.execute(select(*_KEPT).where(tray.c.row == row)).one_or_none()
        if found is None:
            raise UnknownNotFound("There is no such message in the tray.")
        return _kept(found)

    def page(self, state: TrayState | None, before: int | None, limit: int) -> Sequence[Kept]:
        page = select(*_KEPT).order_by(tray.c.row.desc()).limit(limit)
        if state is not None:
            page = page.where(tray.c.state == state.value)
        if before is not None:
            page = page.where(tray.c.row < before)
        return [_kept(row) for row in self._connection.execute(page)]

    def counts(self) -> Mapping[str, int]:
        counted = select(tray.c.state, func.count()).group_by(tray.c.state)
        return {row[0]: int(row[1]) for row in self._connection.execute(counted)}

    def settle(
        self,
        row: int,
        before: TrayState,
        after: TrayState,
        by: str,
        note: str,
        order_no: str | None,
        now: datetime,
    ) -> bool:
        as_read = update(tray).where(tray.c.row == row, tray.c.state == before.value)
        written = as_read.values(
            state=after.value, handled_by=by, handled_at=now, note=note, order_no=order_no
        )
        return self._connection.execute(written).rowcount == 1

    def forget(self, before: datetime, limit: int) -> int:
        # In the order of coming, by the primary key: what is open is few, and passed over.
        settled = and_(_SETTLED, tray.c.handled_at < before)
        old = select(tray.c.row).where(settled).order_by(tray.c.row).limit(limit)
        # Asked again by who deletes: somebody may be opening one just now.
        forgotten = delete(tray).where(tray.c.row.in_(old), settled).returning(*_NAMED)
        gone = self._connection.execute(forgotten).all()
        # Of a message that was too long, the whole goes too; that it came stays known.
        long = [row._asdict() for row in gone if row.long]
        if long:
            self._connection.execute(_EMPTY, [{**one, "settled_at": before} for one in long])
        return len(gone)


def _kept(row: Row[Any]) -> Kept:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    columns["message_id"] = columns["message_id"] or None
    columns["headers"] = msgspec.json.decode(columns["headers"], type=dict[str, str])
    columns["state"] = TrayState(columns["state"])
    return Kept(**columns)
