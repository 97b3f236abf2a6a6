"""Questions that wait for a price, and what is known about measured files."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Protocol

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select

from orderkeep.adapters.sql.instants import FARTHEST, to_micros
from orderkeep.adapters.sql.tables import measurements
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.quoting.measurement import Outcome
from orderkeep.quoting.work import GoesWith, PriceJob


class _Work(Protocol):
    @property
    def raw(self) -> sqlite3.Connection: ...

    @property
    def connection(self) -> Connection: ...


# As texts: every order passes these, and composing a statement cost more than running it. States
# are spelled out as the index has them: of a bound value no database knows beforehand whether it
# fits, and every look would go through all questions that were ever asked.
_WAITING = "state IN ('queued', 'running')"
_FREE = f"{_WAITING} AND (leased_until IS NULL OR leased_until <= ?1 OR leased_until > ?2)"
_ANY = f"SELECT 1 FROM price_jobs WHERE {_FREE} LIMIT 1"
_DUE = (
    "SELECT row, lease_token, order_n, version, attempts FROM price_jobs"
    f" WHERE {_FREE} ORDER BY row LIMIT ?3"
)
_TAKE = (
    "UPDATE price_jobs SET state = 'running', leased_until = ?, lease_token = lease_token + 1,"
    f" attempts = attempts + 1 WHERE row = ? AND lease_token = ? AND {_WAITING}"
)
_FREE_TAKEN = (
    "UPDATE price_jobs SET state = 'queued', leased_until = NULL"
    " WHERE state = 'running' AND leased_until = ?"
)
_ASK = (
    "INSERT INTO price_jobs (order_n, version, state, at) VALUES (?, ?, 'queued', ?)"
    " ON CONFLICT (order_n, version) DO NOTHING"
)
_WRITE = (
    "UPDATE price_jobs SET state = ?, leased_until = ?"
    f" WHERE row = ? AND lease_token = ? AND {_WAITING}"
)
_RENEW = f"UPDATE price_jobs SET leased_until = ? WHERE row = ? AND lease_token = ? AND {_WAITING}"
# Only what still runs: given back twice, an attempt would be uncounted twice.
_GIVE_BACK = (
    "UPDATE price_jobs SET state = 'queued', leased_until = ?, attempts = attempts - 1"
    " WHERE row = ? AND lease_token = ? AND state = 'running'"
)
_RELEASE_ALL = "UPDATE price_jobs SET state = 'queued', leased_until = NULL WHERE state = 'running'"
# Made once: making a statement, or a decoder of a union, takes longer than running it.
_MEASURED = select(measurements.c.data).where(
    measurements.c.file_sha256 == bindparam("sha256"),
    measurements.c.unit == bindparam("in_unit"),
    measurements.c.kernel_version == bindparam("by_version"),
)
_MEASURE = measurements.insert()
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


class SqlPriceJobs:
    """Implements ``quoting.work.PriceJobs``."""

    held = ""
    """What keeps others from the rows that are looked at, where there are others."""

    def __init__(self, work: _Work) -> None:
        self._raw = work.raw

    def add(self, no: OrderNo, version: int, now: datetime) -> None:
        self._raw.execute(_ASK, (order_n(no), version, to_micros(now)))

    def waits(self, now: datetime) -> bool:
        return self._raw.execute(_ANY, _bounds(now)).fetchone() is not None

    def take(
        self, now: datetime, lease_ends: datetime, limit: int, goes_with: GoesWith | None = None
    ) -> Sequence[PriceJob]:
        found = self._raw.execute(_DUE + self.held, (*_bounds(now), limit)).fetchall()
        waiting = [PriceJob(row, token, order_no(n), *asked) for row, token, n, *asked in found]
        chosen = list(takewhile(goes_with, waiting)) if goes_with else waiting
        ends = to_micros(lease_ends)
        self._raw.executemany(_TAKE, [(ends, job.row, job.token) for job in chosen])
        return [replace(job, token=job.token + 1, attempts=job.attempts + 1) for job in chosen]

    def done(self, job: PriceJob) -> bool:
        return self._write(job, "done", None)

    def renew(self, job: PriceJob, lease_ends: datetime) -> bool:
        values = (to_micros(lease_ends), job.row, job.token)
        return self._raw.execute(_RENEW, values).rowcount == 1

    def free_taken(self, lease_ends: datetime) -> None:
        self._raw.execute(_FREE_TAKEN, (to_micros(lease_ends),))

    def give_back(self, job: PriceJob, due: datetime) -> None:
        self._raw.execute(_GIVE_BACK, (to_micros(due), job.row, job.token))

    def put_back(self, job: PriceJob, due: datetime) -> None:
        self._write(job, "queued", to_micros(due))

    def release_all(self) -> int:
        return self._raw.execute(_RELEASE_ALL).rowcount

    def _write(self, job: PriceJob, state: str, leased_until: int | None) -> bool:
        values = (state, leased_until, job.row, job.token)
        return self._raw.execute(_WRITE, values).rowcount == 1


def _bounds(now: datetime) -> tuple[int, int]:
    """A lease that ends before the one is over; after the other it is a clock's mistake."""
    return to_micros(now), to_micros(now + FARTHEST)


class SqlMeasurements:
    """Implements ``quoting.desk.Measurements``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    def get(self, sha256: str, unit: str, kernel_version: str) -> Outcome | None:
        asked = {"sha256": sha256, "in_unit": unit, "by_version": kernel_version}
        data = self._connection.execute(_MEASURED, asked).scalar_one_or_none()
        return None if data is None else _outcomes.decode(data)

    def put(
        self, sha256: str, unit: str, kernel_version: str, outcome: Outcome, now: datetime
    ) -> None:
        if self.get(sha256, unit, kernel_version) is None:
            row = {"file_sha256": sha256, "unit": unit, "kernel_version": kernel_version, "at": now}
            encoded = msgspec.json.encode(outcome).decode()
            self._connection.execute(_MEASURE, {**row, "data": encoded})
