"""The floor's own table."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, bindparam, select, update

from orderkeep.adapters.sql.tables import floor_work_orders as jobs
from orderkeep.floor.work_order import Job

_COLUMNS = tuple(jobs.c[name] for name in Job.__struct_fields__)

_GET = select(*_COLUMNS).where(jobs.c.reference == bindparam("ref"))
_HOLD = _GET.with_for_update()
_PUT = update(jobs).where(jobs.c.reference == bindparam("ref"))


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlFloor:
    """Implements ``floor.ports.FloorStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, reference: str) -> Job | None:
        return self._one(_GET, reference)

    def hold(self, reference: str) -> Job | None:
        return self._one(_HOLD, reference)

    def add(self, job: Job) -> None:
        self._connection.execute(jobs.insert().values(**_columns(job)))

    def put(self, job: Job) -> None:
        self._connection.execute(_PUT, {"ref": job.reference, **_columns(job)})

    def page(self, after: str | None, limit: int) -> Sequence[Job]:
        begun = select(jobs.c.row).where(jobs.c.reference == after).scalar_subquery()
        page = select(*_COLUMNS).order_by(jobs.c.row).limit(limit)
        rows = self._connection.execute(page if after is None else page.where(jobs.c.row > begun))
        return [_job(row) for row in rows]

    def _one(self, query: Any, reference: str) -> Job | None:
        row = self._connection.execute(query, {"ref": reference}).one_or_none()
        return None if row is None else _job(row)


def _columns(job: Job) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(job),
        "positions": msgspec.json.encode(job.positions).decode(),
    }


def _job(row: Row[Any]) -> Job:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    return Job(**{**columns, "positions": msgspec.json.decode(columns["positions"])})
