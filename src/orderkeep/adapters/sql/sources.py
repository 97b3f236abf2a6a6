"""How far each source is taken over, in Core: one text for both databases."""

from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, and_, bindparam, select, text, update

from orderkeep.adapters.sql.tables import sources
from orderkeep.adapters.sql.types import UtcDateTime
from orderkeep.intake.modes import Mode, SourceOvertaken, SourceState, Takes

_GET = select(sources).where(sources.c.name == bindparam("of"))
_HOLD = _GET.with_for_update()
# Shared: the page's messages are kept in commits of their own, side by side.
_REQUIRE = (
    select(sources.c.name)
    .where(sources.c.name == bindparam("of"), sources.c.lease_token == bindparam("token"))
    .with_for_update(read=True)
)
_NEXT = sources.c.lease_token + 1
# Both databases understand this, and two that begin at once get one row.
_KNOW = text(
    "INSERT INTO sources (name, mode, since, by, because) VALUES (:of, 'off', :now, '', '')"
    " ON CONFLICT (name) DO NOTHING"
).bindparams(bindparam("now", type_=UtcDateTime))


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlSources:
    """Implements ``intake.modes.SourceStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, name: str) -> SourceState:
        return self._one(_GET, name)

    def hold(self, name: str) -> SourceState:
        return self._one(_HOLD, name)

    def lease(self, name: str) -> SourceState:
        self._change(sources.c.name == name, lease_token=_NEXT)
        return self.get(name)

    def require(self, name: str, lease_token: int) -> None:
        asked = {"of": name, "token": lease_token}
        if self._connection.execute(_REQUIRE, asked).one_or_none() is None:
            raise SourceOvertaken("Somebody has taken this source over meanwhile.", source=name)

    def _one(self, query: Any, name: str) -> SourceState:
        row = self._connection.execute(query, {"of": name}).one_or_none()
        if row is None:
            return SourceState(name)
        told = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
        takes = told.pop("takes")
        return SourceState(
            mode=Mode(told.pop("mode")), takes=None if takes is None else Takes(takes), **told
        )

    def move(  # A step's facts, by name.
        self,
        name: str,
        before: SourceState,
        to: Mode,
        *,
        takes: Takes | None,
        by: str,
        because: str,
        now: datetime,
    ) -> bool:
        self._connection.execute(_KNOW, {"of": name, "now": now})
        as_read = and_(sources.c.name == name, sources.c.mode == before.mode.value)
        facts = {
            "mode": to.value,
            "takes": takes.value if takes else None,
            "since": now,
            "by": by,
            "because": because,
            "settled_at": None,
            "trouble": None,
            "lease_token": _NEXT,
        }
        if to is Mode.BACK:
            facts["takes"] = before.takes and before.takes.value
        return self._change(as_read, **facts)

    def settle(self, name: str, now: datetime) -> bool:
        back = and_(
            sources.c.name == name,
            sources.c.mode == Mode.BACK.value,
            sources.c.settled_at.is_(None),
        )
        return self._change(back, settled_at=now, lease_token=_NEXT)

    def look_after(
        self, name: str, now: datetime, last_at: datetime | None, trouble: str | None
    ) -> None:
        facts: dict[str, Any] = {"seen_at": now, "trouble": trouble}
        if last_at is not None:
            facts["last_at"] = last_at
        self._change(sources.c.name == name, **facts)

    def keep_cursor(self, name: str, cursor: str) -> None:
        self._change(sources.c.name == name, cursor=cursor)

    def _change(self, where: Any, **columns: Any) -> bool:
        changed = update(sources).where(where).values(**columns)
        return self._connection.execute(changed).rowcount == 1
