"""What we say of a work order against what the MES shows of it: one pure decision.

The MES is asked first and our side is read afterwards, so whatever is new here is not missing
there. What has changed on our side since the question is left for the next pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from orderkeep.bridge.ports import RECALLED, MesJob
from orderkeep.ledger import sentences as say
from orderkeep.orders.order import ARRIVED, FINAL, Delivered, Stage


class Kind(StrEnum):
    """What a comparison finds."""

    MISSING_HERE = "missing_here"
    """The MES has it, and we never asked for it."""
    MISSING_THERE = "missing_there"
    """We say that the MES has it, and the MES does not show it."""
    DIFFERS = "differs"
    """Both have it and say different things."""
    STUCK = "stuck"
    """Both agree, and nothing has moved for too long."""


class Repair(StrEnum):
    """What is done about a finding by itself; everything else is for a person."""

    REPORT = "report"
    RESEND = "resend"
    """Send it again once the MES is proven not to have it: never before."""
    ADOPT = "adopt"
    """Take the MES's word for how far it has come."""


class Decision(StrEnum):
    """What a person may do about a finding."""

    RESEND = "resend"
    ADOPT = "adopt"
    DISMISS = "dismiss"
    """It is known, and well so; shown again only if it changes."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What we say of a work order; ``begun`` when somebody has started on it here."""

    reference: str
    order_no: str
    state: Delivered
    since: datetime
    stage: Stage
    stage_since: datetime
    current: bool = True
    """It is its order's present work order; an earlier one was proven gone."""
    ever_sent: bool = True
    wanted_back: bool = False


@dataclass(frozen=True, slots=True)
class Ways:
    """How this MES speaks and how long things take."""

    lag: timedelta
    words: Mapping[str, str]
    recalled: frozenset[str] = RECALLED
    stuck_after: timedelta = timedelta(days=3)


class Found(msgspec.Struct, frozen=True):
    """A finding: its kind, a sentence, and what can be done about it."""

    kind: Kind
    what: str
    repairs: Sequence[Decision] = ()
    """The useful decisions beside dismissing it."""
    status: str | None = None
    """The MES's own word."""


_ROAD: Final = ("accepted", "started", "completed", "packaging", "shipped")
_REACHED: Final = {
    Stage.MANUFACTURING_APPROVED: 0,
    Stage.MANUFACTURING_STARTED: 1,
    Stage.MANUFACTURING_COMPLETED: 2,
    Stage.PACKAGING: 3,
    Stage.SHIPPED: 4,
}
_NOT_SENT: Final = frozenset({Delivered.PENDING})
_GIVEN_UP: Final = frozenset({Delivered.RECALLED, Delivered.REJECTED, Delivered.DEAD})


def compare(
    ours: Ours | None, jobs: Sequence[MesJob], asked_at: datetime, ways: Ways, now: datetime
) -> Found | None:
    """What does not fit, if anything; ``jobs`` are all that the MES shows for the reference."""
    alive = [job for job in jobs if job.status not in ways.recalled]
    if len(alive) > 1:
        ids = ", ".join(job.mes_id for job in alive)
        return Found(Kind.DIFFERS, say.MADE_TIMES(n=len(alive), ids=ids))
    if ours is None:
        return _unknown(alive)
    if _has_moved(ours, asked_at):
        return None
    if ours.state in ARRIVED and ours.current:
        return _arrived(ours, jobs, alive, asked_at, ways, now)
    return _elsewhere(ours, alive)


def _unknown(alive: Sequence[MesJob]) -> Found | None:
    if not alive:
        return None
    [job] = alive
    return Found(Kind.MISSING_HERE, say.UNASKED(mes_id=job.mes_id), status=job.status)


def _has_moved(ours: Ours, asked_at: datetime) -> bool:
    """The MES's answer is older than what we know now."""
    return max(ours.since, ours.stage_since) > asked_at


def _arrived(
    ours: Ours,
    jobs: Sequence[MesJob],
    alive: Sequence[MesJob],
    asked_at: datetime,
    ways: Ways,
    now: datetime,
) -> Found | None:
    if not jobs:
        if ours.since + ways.lag > asked_at or ours.stage in FINAL:
            return None  # Too new to be shown, or long over: a MES may forget what is done.
        may_resend = ours.stage is Stage.MANUFACTURING_APPROVED and not ours.wanted_back
        repairs = [Decision.RESEND] if may_resend else []
        return Found(Kind.MISSING_THERE, say.SHOWS_NONE(state=ours.state), repairs)
    if not alive:
        what = say.SAYS_OTHERWISE(status=jobs[0].status, stage=ours.stage)
        return (
            None
            if ours.stage in FINAL
            else Found(Kind.DIFFERS, what, [Decision.ADOPT], jobs[0].status)
        )
    return _compared(ours, alive[0], ways) or _standing(ours, alive[0], ways, now)


def _compared(ours: Ours, job: MesJob, ways: Ways) -> Found | None:
    if job.status is None or ours.stage not in _REACHED:
        return None
    word = ways.words.get(job.status, job.status)
    what = say.SAYS_OTHERWISE(status=job.status, stage=ours.stage)
    if word not in _ROAD:
        return Found(Kind.DIFFERS, what, status=job.status)
    there, here = _ROAD.index(word), _REACHED[ours.stage]
    if there == here:
        return None
    # Ahead of us is news that has not come; behind us cannot be, and only a person can tell.
    return Found(Kind.DIFFERS, what, [Decision.ADOPT] if there > here else [], job.status)


def _standing(ours: Ours, job: MesJob, ways: Ways, now: datetime) -> Found | None:
    since = max(ours.since, ours.stage_since)
    if ours.stage in FINAL or ours.stage is Stage.SHIPPED or since + ways.stuck_after > now:
        return None
    days = (now - since).days
    if job.status is None:
        return Found(Kind.STUCK, say.STANDS_SILENT(n=days))
    return Found(Kind.STUCK, say.STANDS(n=days, status=job.status))


def _elsewhere(ours: Ours, alive: Sequence[MesJob]) -> Found | None:
    """We do not say that the MES has it: has it all the same?"""
    if not alive:
        return None
    [job] = alive
    if ours.state in _NOT_SENT and not ours.ever_sent:
        return Found(Kind.MISSING_HERE, say.UNSENT(mes_id=job.mes_id), status=job.status)
    if ours.state in _NOT_SENT or ours.state in _GIVEN_UP or not ours.current:
        return Found(Kind.DIFFERS, _gone_there(ours, job), status=job.status)
    return None  # Being sent, or unclear: the bridge is finding out itself.


def _gone_there(ours: Ours, job: MesJob) -> str:
    status = job.status or "?"
    if not ours.current:
        return say.THERE_REPLACED(mes_id=job.mes_id, status=status)
    return say.THERE_ALL_THE_SAME(state=ours.state, mes_id=job.mes_id, status=status)


class _Repairable(Protocol):
    @property
    def kind(self) -> Kind: ...

    @property
    def repairs(self) -> Sequence[Decision]: ...


def repaired_by(found: _Repairable, policy: Mapping[Kind, Repair]) -> Decision | None:
    """What the policy does about a finding by itself; None leaves it to a person."""
    wanted = policy.get(found.kind, Repair.REPORT)
    for decision in found.repairs:
        if decision.value == wanted.value:
            return decision
    return None
