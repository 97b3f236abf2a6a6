"""Kept balances, in Core: one text for both databases."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from orderkeep.adapters.sql.tables import balance_differences as differences
from orderkeep.adapters.sql.tables import balance_runs as runs
from orderkeep.adapters.sql.tables import reconcile_findings as findings
from orderkeep.ledger.balance import Carried, Difference, Proof, Sums
from orderkeep.ledger.kept import (
    DIFFERENCES_KEPT,
    HOURS_KEPT,
    MINUTES_KEPT,
    Noted,
    Point,
    Run,
)

FOUND = 1000
"""Findings of a reconciliation that are named in the balance."""


class _Sums(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is written of a run beside its columns."""

    sums: Sums
    drafts: int
    received_not_yet: int
    carried: Carried | None = None
    not_understood: int = 0


_encoder = msgspec.json.Encoder()
_sums = msgspec.json.Decoder(_Sums)
_partners = msgspec.json.Decoder(dict[str, Sums])
_proof = msgspec.json.Decoder(Proof)
_open = differences.c.gone_at.is_(None)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlBalances:
    """Implements ``ledger.keeping.BalanceStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    # --- runs -------------------------------------------------------------------------------------

    def last(self) -> Run | None:
        newest = select(runs).order_by(runs.c.row.desc()).limit(1)
        row = self._connection.execute(newest).one_or_none()
        return None if row is None else _run(row)

    def keep(self, run: Run) -> None:
        self._connection.execute(
            update(runs).where(runs.c.partners.is_not(None)).values(partners=None)
        )
        told = _Sums(run.sums, run.drafts, run.received_not_yet, run.carried, run.not_understood)
        self._connection.execute(
            runs.insert().values(
                at=run.at,
                took_ms=run.took_ms,
                sums=_text(told),
                partners=_text(run.partners),
                differences=run.differences,
                first_of_hour=self._is_first_of_hour(run.at),
            )
        )

    def _is_first_of_hour(self, at: datetime) -> bool:
        hour = at.replace(minute=0, second=0, microsecond=0)
        within = and_(runs.c.at >= hour, runs.c.at < hour + timedelta(hours=1))
        known = select(runs.c.row).where(within).limit(1)
        return self._connection.execute(known).first() is None

    def trend(self, since: datetime, points: int) -> Sequence[Point]:
        counted = select(func.count()).select_from(runs).where(runs.c.at >= since)
        there = int(self._connection.execute(counted).scalar_one())
        # Evenly chosen, and none hides a difference that was there between two of them. The rest
        # of a division is the same on both databases, and rows are numbered in a row.
        every = max(1, -(-there // points))
        shared = (
            select(func.max(runs.c.row).label("row"), func.max(runs.c.differences).label("most"))
            .where(runs.c.at >= since)
            .group_by(runs.c.row - runs.c.row % every)
            .subquery()
        )
        chosen = (
            select(runs.c.at, runs.c.sums, shared.c.most)
            .join(shared, shared.c.row == runs.c.row)
            .order_by(runs.c.row.desc())
            .limit(points)
        )
        return [_point(row) for row in reversed(self._connection.execute(chosen).all())]

    def forget(self, now: datetime) -> int:
        minute = and_(runs.c.at < now - MINUTES_KEPT, runs.c.first_of_hour.is_(False))
        # What lies ahead was written before the clock was set back; it would be kept for ever.
        wrong = runs.c.at > now + MINUTES_KEPT
        hour = runs.c.at < now - HOURS_KEPT
        self._connection.execute(
            delete(differences).where(differences.c.gone_at < now - DIFFERENCES_KEPT)
        )
        return self._connection.execute(delete(runs).where(or_(minute, hour, wrong))).rowcount

    # --- differences --------------------------------------------------------------------------

    def note(self, found: Sequence[Difference], now: datetime) -> Noted:
        wanted = {(one.system, one.kind, one.subject): one for one in found}
        known = {
            (row.system, row.kind, row.subject): row
            for row in self._connection.execute(select(differences))
        }
        gone = [row for key, row in known.items() if key not in wanted and row.gone_at is None]
        fresh = [
            one for key, one in wanted.items() if key not in known or known[key].gone_at is not None
        ]
        for row in gone:
            self._change(row.row, gone_at=now)
        for key, one in wanted.items():
            self._seen(known.get(key), one, now)
        return Noted(fresh, [_difference(row) for row in gone])

    def _seen(self, row: Row[Any] | None, one: Difference, now: datetime) -> None:
        if row is None:
            self._connection.execute(
                differences.insert().values(
                    system=one.system,
                    kind=one.kind,
                    subject=one.subject,
                    order_no=one.order_no,
                    what=one.what,
                    since=one.since or now,
                    seen_at=now,
                )
            )
        elif row.gone_at is not None:
            since = one.since or now
            self._change(row.row, what=one.what, since=since, seen_at=now, gone_at=None, proof=None)
        else:
            self._change(row.row, what=one.what, seen_at=now)

    def _change(self, row: int, **columns: Any) -> None:
        self._connection.execute(
            update(differences).where(differences.c.row == row).values(**columns)
        )

    def open(self, limit: int) -> Sequence[Difference]:
        oldest = select(differences).where(_open).order_by(differences.c.since, differences.c.row)
        return [_difference(row) for row in self._connection.execute(oldest.limit(limit))]

    def unproven(self, limit: int) -> Sequence[Difference]:
        bare = (
            select(differences)
            .where(_open, differences.c.proof.is_(None), differences.c.order_no.is_not(None))
            .order_by(differences.c.row)
            .limit(limit)
        )
        return [_difference(row) for row in self._connection.execute(bare)]

    def prove(self, difference: Difference, proof: Proof) -> None:
        mine = and_(
            differences.c.system == difference.system,
            differences.c.kind == difference.kind,
            differences.c.subject == difference.subject,
        )
        self._connection.execute(update(differences).where(mine).values(proof=_text(proof)))

    def found(self) -> Sequence[Difference]:
        oldest = (
            select(findings)
            .where(findings.c.state.in_(("open", "decided")))
            .order_by(findings.c.row)
        )
        return [
            Difference(
                order_no=row.order_no,
                what=str(msgspec.json.decode(row.facts).get("what", "")),
                system=row.destination,
                kind=row.kind,
                reference=row.reference,
                since=row.since,
            )
            for row in self._connection.execute(oldest.limit(FOUND))
        ]


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()


def _run(row: Row[Any]) -> Run:
    told = _sums.decode(row.sums)
    return Run(
        at=row.at,
        took_ms=row.took_ms,
        sums=told.sums,
        drafts=told.drafts,
        received_not_yet=told.received_not_yet,
        not_understood=told.not_understood,
        differences=row.differences,
        partners=_partners.decode(row.partners) if row.partners else {},
        carried=told.carried,
    )


def _point(row: Row[Any]) -> Point:
    sums = _sums.decode(row.sums).sums
    return Point(
        row.at,
        sums.accepted,
        sums.in_flight,
        sums.waiting,
        sums.uncertain,
        sums.quarantined,
        row.most,
    )


def _difference(row: Row[Any]) -> Difference:
    return Difference(
        order_no=row.order_no,
        what=row.what,
        system=row.system,
        kind=row.kind,
        reference=None if row.order_no else row.subject,
        since=row.since,
        proof=_proof.decode(row.proof) if row.proof else None,
    )
