"""Questions that wait for a price, and what is known about measured files."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy import Connection, bindparam, or_, select, update

from orderkeep.adapters.sql.instants import FARTHEST
from orderkeep.adapters.sql.tables import measurements, price_jobs
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.quoting.desk import PriceJob
from orderkeep.quoting.measurement import Outcome


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


_WAITING = price_jobs.c.state.in_(("queued", "running"))
_FREE = or_(
    price_jobs.c.leased_until.is_(None),
    price_jobs.c.leased_until <= bindparam("now"),
    price_jobs.c.leased_until > bindparam("too_far"),
)
_due = (
    select(price_jobs.c.row)
    .where(_WAITING, _FREE)
    .order_by(price_jobs.c.row)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_TAKE = (
    update(price_jobs)
    .where(price_jobs.c.row.in_(select(_due.c.row)))
    .values(
        state="running",
        leased_until=bindparam("lease_ends"),
        lease_token=price_jobs.c.lease_token + 1,
        attempts=price_jobs.c.attempts + 1,
    )
    .returning(
        price_jobs.c.row,
        price_jobs.c.lease_token,
        price_jobs.c.order_n,
        price_jobs.c.version,
        price_jobs.c.attempts,
    )
)
_ANY = select(price_jobs.c.row).where(_WAITING, _FREE).limit(1)
_FREE_TAKEN = (
    update(price_jobs)
    .where(price_jobs.c.state == "running", price_jobs.c.leased_until == bindparam("lease_ends"))
    .values(state="queued", leased_until=None)
)
_KNOWN = select(price_jobs.c.row).where(
    price_jobs.c.order_n == bindparam("n"), price_jobs.c.version == bindparam("asked")
)
_WRITE = update(price_jobs).where(
    price_jobs.c.row == bindparam("of"), price_jobs.c.lease_token == bindparam("token"), _WAITING
)
# Only what still runs: given back twice, an attempt would be uncounted twice.
_GIVE_BACK = _WRITE.where(price_jobs.c.state == "running").values(
    state="queued", leased_until=bindparam("due"), attempts=price_jobs.c.attempts - 1
)


class SqlPriceJobs:
    """Implements ``quoting.desk.PriceJobs``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def add(self, no: OrderNo, version: int, now: datetime) -> None:
        asked = {"n": order_n(no), "asked": version}
        known = self._connection.execute(_KNOWN, asked).first()
        if known is None:
            self._connection.execute(
                price_jobs.insert().values(
                    order_n=order_n(no), version=version, state="queued", at=now
                )
            )

    def waits(self, now: datetime) -> bool:
        found = self._connection.execute(_ANY, {"now": now, "too_far": now + FARTHEST})
        return found.first() is not None

    def take(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[PriceJob]:
        taken = self._connection.execute(
            _TAKE, {"now": now, "too_far": now + FARTHEST, "lease_ends": lease_ends, "most": limit}
        )
        jobs = [
            PriceJob(row, token, order_no(n), version, tries)
            for row, token, n, version, tries in taken
        ]
        return sorted(jobs, key=lambda job: job.row)  # RETURNING has no order.

    def done(self, job: PriceJob) -> bool:
        return self._write(job, state="done", leased_until=None)

    def renew(self, job: PriceJob, lease_ends: datetime) -> bool:
        return self._write(job, leased_until=lease_ends)

    def free_taken(self, lease_ends: datetime) -> None:
        self._connection.execute(_FREE_TAKEN, {"lease_ends": lease_ends})

    def give_back(self, job: PriceJob, due: datetime) -> None:
        self._connection.execute(_GIVE_BACK, {"of": job.row, "token": job.token, "due": due})

    def put_back(self, job: PriceJob, due: datetime) -> None:
        self._write(job, state="queued", leased_until=due)

    def release_all(self) -> int:
        return self._connection.execute(
            update(price_jobs)
            .where(price_jobs.c.state == "running")
            .values(state="queued", leased_until=None)
        ).rowcount

    def _write(self, job: PriceJob, **columns: object) -> bool:
        mine = {"of": job.row, "token": job.token}
        return self._connection.execute(_WRITE, {**mine, **columns}).rowcount == 1


class SqlMeasurements:
    """Implements ``quoting.desk.Measurements``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, sha256: str, unit: str, kernel_version: str) -> Outcome | None:
        data = self._connection.execute(
            select(measurements.c.data).where(
                measurements.c.file_sha256 == sha256,
                measurements.c.unit == unit,
                measurements.c.kernel_version == kernel_version,
            )
        ).scalar_one_or_none()
        return None if data is None else msgspec.json.decode(data, type=Outcome)

    def put(
        self, sha256: str, unit: str, kernel_version: str, outcome: Outcome, now: datetime
    ) -> None:
        if self.get(sha256, unit, kernel_version) is None:
            self._connection.execute(
                measurements.insert().values(
                    file_sha256=sha256,
                    unit=unit,
                    kernel_version=kernel_version,
                    at=now,
                    data=msgspec.json.encode(outcome).decode(),
                )
            )
