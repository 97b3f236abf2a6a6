"""Passes and findings of a comparison with a MES, in Core: one text for both databases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orderkeep.adapters.sql.tables import deliveries, orders
from orderkeep.adapters.sql.tables import reconcile_findings as findings
from orderkeep.adapters.sql.tables import reconcile_passes as passes
from orderkeep.adapters.sql.tables import reconcile_seen as seen
from orderkeep.bridge.ports import MesJob
from orderkeep.kernel.ids import order_no
from orderkeep.ledger.passes import DecisionRefused, Finding, FindingNotFound, Pass, PassMoved
from orderkeep.ledger.reconcile import Decision, Found, Kind, Ours
from orderkeep.orders.order import Delivered, Stage

_PASS = tuple(passes.c[name] for name in Pass.__struct_fields__)
_OURS = (
    deliveries.c.row,
    deliveries.c.reference,
    deliveries.c.order_n,
    deliveries.c.state,
    deliveries.c.since,
    deliveries.c.attempts,
    deliveries.c.last_sent_at,
    deliveries.c.recall_wanted,
    orders.c.stage,
    orders.c.stage_since,
    orders.c.work_order_ref,
)
_KNOWN_OURS = select(*_OURS).join(orders, orders.c.n == deliveries.c.order_n)
_STANDING = ("open", "suspected", "decided")


class _Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is written of a finding beside its columns."""

    what: str
    repairs: list[Decision] = []
    status: str | None = None


_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(_Facts)


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...


class SqlReconciling:
    """Implements ``ledger.passes.ReconcileStore``."""

    def __init__(self, work: _Work) -> None:
        self._connection = work.connection

    # --- passes -----------------------------------------------------------------------------------

    def running(self, destination: str) -> Pass | None:
        return self._pass(passes.c.destination == destination, passes.c.finished_at.is_(None))

    def last(self, destination: str) -> Pass | None:
        return self._pass(passes.c.destination == destination, passes.c.finished_at.is_not(None))

    def _pass(self, *where: Any) -> Pass | None:
        newest = select(*_PASS).where(*where).order_by(passes.c.row.desc()).limit(1)
        row = self._connection.execute(newest).one_or_none()
        return None if row is None else Pass(**row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.

    def begin(self, destination: str, phase: str, by: str, now: datetime) -> Pass:
        known = self.running(destination)
        if known is not None:
            return known
        new = {"destination": destination, "started_at": now, "by": by, "phase": phase}
        self._connection.execute(passes.insert().values(**new, moved_at=now))
        begun = self.running(destination)
        if begun is None:
            raise PassMoved(destination)
        return begun

    def advance(self, pass_: Pass, now: datetime, **columns: Any) -> Pass:
        mine = and_(
            passes.c.row == pass_.row,
            passes.c.phase == pass_.phase,
            passes.c.compared == pass_.compared,
            passes.c.shown == pass_.shown,
            passes.c.moved_at == pass_.moved_at,
            passes.c.finished_at.is_(None),
        )
        written = self._connection.execute(
            update(passes).where(mine).values(moved_at=now, **columns).returning(*_PASS)
        ).one_or_none()
        if written is None:
            raise PassMoved(str(pass_.row))
        return Pass(**written._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.

    # --- both sides -------------------------------------------------------------------------------

    def show(self, destination: str, jobs: Sequence[MesJob]) -> None:
        kept = [
            {
                "destination": destination,
                "reference": job.reference,
                "mes_id": job.mes_id,
                "status": job.status,
            }
            for job in jobs
        ]
        if not kept:
            return
        on_postgres = self._connection.dialect.name == "postgresql"
        insert: Any = postgresql.insert(seen) if on_postgres else sqlite.insert(seen)
        self._connection.execute(insert.on_conflict_do_nothing(), kept)

    def shown(self, destination: str, reference: str) -> Sequence[MesJob]:
        mine = and_(seen.c.destination == destination, seen.c.reference == reference)
        rows = self._connection.execute(select(seen).where(mine).order_by(seen.c.mes_id))
        return [MesJob(row.mes_id, row.reference, row.status) for row in rows]

    def forget_shown(self, destination: str) -> None:
        self._connection.execute(delete(seen).where(seen.c.destination == destination))

    def ours(self, destination: str, reference: str) -> Ours | None:
        mine = and_(deliveries.c.destination == destination, deliveries.c.reference == reference)
        row = self._connection.execute(_KNOWN_OURS.where(mine)).one_or_none()
        return None if row is None else _ours(row)

    def ours_after(self, destination: str, row: int, limit: int) -> Sequence[tuple[int, Ours]]:
        page = (
            _KNOWN_OURS.where(
                deliveries.c.destination == destination, orders.c.is_open, deliveries.c.row > row
            )
            .order_by(deliveries.c.row)
            .limit(limit)
        )
        return [(one.row, _ours(one)) for one in self._connection.execute(page)]

    def ours_open(self, destination: str) -> int:
        counted = (
            select(func.count())
            .select_from(deliveries.join(orders, orders.c.n == deliveries.c.order_n))
            .where(deliveries.c.destination == destination, orders.c.is_open)
        )
        return int(self._connection.execute(counted).scalar_one())

    # --- findings ---------------------------------------------------------------------------------

    def known(self, destination: str, kind: Kind, reference: str) -> Finding | None:
        row = self._row(destination, kind, reference)
        return None if row is None else _finding(row)

    def _row(self, destination: str, kind: Kind, reference: str) -> Row[Any] | None:
        mine = and_(
            findings.c.destination == destination,
            findings.c.kind == kind,
            findings.c.reference == reference,
        )
        return self._connection.execute(select(findings).where(mine)).one_or_none()

    def note(
        self,
        pass_: Pass,
        reference: str,
        order_no: str | None,
        found: Found,
        state: str,
        at: datetime,
    ) -> Finding:
        self.clear(pass_, reference, at, but=found.kind)
        row = self._row(pass_.destination, found.kind, reference)
        facts = _text(_Facts(found.what, list(found.repairs), found.status))
        if row is None:
            self._connection.execute(
                findings.insert().values(
                    destination=pass_.destination,
                    kind=found.kind,
                    reference=reference,
                    order_no=order_no,
                    facts=facts,
                    since=at,
                    seen_at=at,
                    pass_row=pass_.row,
                    state=state,
                )
            )
        else:
            columns = self._anew(row, found, state, at)
            self._write(row.row, facts=facts, seen_at=at, pass_row=pass_.row, **columns)
        kept = self.known(pass_.destination, found.kind, reference)
        if kept is None:
            raise FindingNotFound(reference)
        return kept

    def _anew(self, row: Row[Any], found: Found, state: str, at: datetime) -> dict[str, Any]:
        if row.state in {"open", "decided"}:
            return {}  # Suspected again is no less proven than before.
        if row.state == "suspected":
            return {"state": state}
        # What changes by itself, such as an age, does not undo what a person said of it.
        same = _facts.decode(row.facts).status == found.status
        if row.state == "dismissed" and same:
            return {}
        if row.state == "repaired":
            return {"state": state, "since": at}  # Its decision stays: no policy repeats it.
        again = {"decision": None, "note": None, "decided_by": None, "decided_at": None}
        return {"state": state, "since": at, **again}

    def touch(self, pass_: Pass, reference: str) -> None:
        mine = and_(findings.c.destination == pass_.destination, findings.c.reference == reference)
        self._connection.execute(update(findings).where(mine).values(pass_row=pass_.row))

    def clear(self, pass_: Pass, reference: str, at: datetime, but: Kind | None = None) -> None:
        mine = and_(
            findings.c.destination == pass_.destination,
            findings.c.reference == reference,
            findings.c.state.in_(_STANDING),
        )
        if but is not None:
            mine = and_(mine, findings.c.kind != but)
        self._connection.execute(update(findings).where(mine).values(state="gone", seen_at=at))

    def clear_unseen(self, pass_: Pass, at: datetime) -> int:
        unseen = and_(
            findings.c.destination == pass_.destination,
            findings.c.pass_row < pass_.row,
            findings.c.state.in_(_STANDING),
        )
        return self._connection.execute(
            update(findings).where(unseen).values(state="gone", seen_at=at)
        ).rowcount

    def suspects(self, pass_: Pass, limit: int) -> Sequence[Finding]:
        return self._of(pass_, "suspected", limit)

    def fresh(self, pass_: Pass, limit: int) -> Sequence[Finding]:
        return self._of(pass_, "open", limit)

    def _of(self, pass_: Pass, state: str, limit: int) -> Sequence[Finding]:
        oldest = (
            select(findings)
            .where(
                findings.c.destination == pass_.destination,
                findings.c.pass_row == pass_.row,
                findings.c.state == state,
            )
            .order_by(findings.c.seen_at, findings.c.row)
            .limit(limit)
        )
        return [_finding(row) for row in self._connection.execute(oldest)]

    def decided(self, destination: str, limit: int) -> Sequence[Finding]:
        waiting = (
            select(findings)
            .where(findings.c.destination == destination, findings.c.state == "decided")
            .order_by(findings.c.row)
            .limit(limit)
        )
        return [_finding(row) for row in self._connection.execute(waiting)]

    def finding(self, row: int) -> Finding:
        found = self._connection.execute(
            select(findings).where(findings.c.row == row)
        ).one_or_none()
        if found is None:
            raise FindingNotFound("There is no such finding.")
        return _finding(found)

    def change(self, finding: Finding, **columns: Any) -> None:
        mine = and_(findings.c.row == finding.row, findings.c.state == finding.state)
        written = self._connection.execute(update(findings).where(mine).values(**columns))
        if not written.rowcount:
            raise DecisionRefused("It has been settled meanwhile.")

    def _write(self, row: int, **columns: Any) -> None:
        self._connection.execute(update(findings).where(findings.c.row == row).values(**columns))

    def page(self, states: Sequence[str], after: int | None, limit: int) -> Sequence[Finding]:
        newest = select(findings).where(findings.c.state.in_(states))
        if after is not None:
            newest = newest.where(findings.c.row < after)
        rows = self._connection.execute(newest.order_by(findings.c.row.desc()).limit(limit))
        return [_finding(row) for row in rows]

    def counts(self) -> dict[str, int]:
        counted = (
            select(findings.c.kind, func.count())
            .where(findings.c.state.in_(("open", "decided")))
            .group_by(findings.c.kind)
        )
        return {str(kind): int(count) for kind, count in self._connection.execute(counted)}


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()


def _ours(row: Any) -> Ours:
    return Ours(
        reference=row.reference,
        order_no=order_no(row.order_n),
        state=Delivered(row.state),
        since=row.since,
        stage=Stage(row.stage),
        stage_since=row.stage_since,
        current=row.work_order_ref == row.reference,
        ever_sent=bool(row.attempts) or row.last_sent_at is not None,
        wanted_back=bool(row.recall_wanted),
    )


def _finding(row: Row[Any]) -> Finding:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    facts = _facts.decode(columns.pop("facts"))
    return Finding(
        what=facts.what,
        repairs=facts.repairs,
        status=facts.status,
        kind=Kind(columns.pop("kind")),
        **columns,
    )
