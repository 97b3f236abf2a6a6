"""The standing comparison with a MES: pages through it, names what differs, goes on after a kill.

A pass lists what the MES shows, looks at every work order of an open order of ours, and proves what
seems to be missing there: asked twice, after the visibility lag. Its place is on disk with every
page. It sends nothing: see ``repairing``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final

import structlog

from orderkeep.bridge.ports import MesJob, MesUnavailable
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import WorkOrderRef, order_n, order_no_of
from orderkeep.kernel.store import Store
from orderkeep.ledger import sentences as say
from orderkeep.ledger.asking import Asking, NotNow
from orderkeep.ledger.passes import Finding, Pass, PassMoved
from orderkeep.ledger.reconcile import Decision, Kind, Ours, Repair, Ways, compare, repaired_by
from orderkeep.ledger.repairing import Repairs
from orderkeep.orders.order import ARRIVED, FINAL

AFTER_PAGE = failpoint("reconcile.after_page", "a page is compared, and the place behind it kept")

NAMED: Final = 1000
"""Jobs of a MES that we do not know of, and that are named one by one."""
MOST_RESENT: Final = 10
"""More that a MES denies at once speak against its look-up, and not for sending them all again."""
POLICY: Final = "policy"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """How often and how gently to compare; ``policy`` says what is repaired by itself.

    ``every`` of nothing compares only when a person asks.
    """

    every: timedelta = timedelta(hours=1)
    lookups: int = 20
    """Look-ups in one step; there is a step a second."""
    policy: Mapping[Kind, Repair] = field(default_factory=dict)


class Reconciler:
    """Compares with one MES. Several processes may: a page counts once."""

    def __init__(
        self,
        store: Store[Any],
        mes: Asking,
        destination: str,
        ways: Ways,
        settings: ReconcileSettings,
        repairs: Repairs,
        clock: Clock,
    ) -> None:
        self._store = store
        self._mes = mes
        self._destination = destination
        self._ways = ways
        self.settings = settings
        self._repairs = repairs
        self._clock = clock
        self._begun: datetime | None = None
        self._given: set[str] = set()

    async def step(self) -> int:
        """Carry out a decision, or take the pass a page further; returns 0: it is in no hurry."""
        try:
            await self._step()
        except PassMoved:
            log.debug("reconcile.overtaken", destination=self._destination)
        except (MesUnavailable, NotNow) as away:
            log.debug("reconcile.waits", destination=self._destination, reason=str(away))
        return 0

    async def ask(self, by: str) -> Pass:
        """Begin a pass now, for a person; the one that runs, if there is one."""
        now = self._clock.now()
        begun: Pass = await self._store.write(
            lambda work: work.reconciling.begin(self._destination, "asked", by, now)
        )
        return begun

    async def _step(self) -> None:
        now = self._clock.now()
        decided = await self._store.read(
            lambda work: work.reconciling.decided(self._destination, 1)
        )
        if decided:
            await self._repairs.carry_out(decided[0], now)
            return
        pass_ = await self._running(now)
        if pass_ is None:
            return
        moves = {"listing": self._list, "looking": self._look, "proving": self._prove}
        await moves.get(pass_.phase, self._begin)(pass_)

    async def _running(self, now: datetime) -> Pass | None:
        def read(work: Any) -> tuple[Pass | None, Pass | None]:
            store = work.reconciling
            return store.running(self._destination), store.last(self._destination)

        running, last = await self._store.read(read)
        if running is not None:
            return running
        self._begun = self._begun or now
        since = last.started_at if last else self._begun
        # Our clock may have been set back: then a pass too many, rather than none for long.
        if not self.settings.every or since <= now < since + self.settings.every:
            return None
        return await self.ask(POLICY)

    async def _begin(self, pass_: Pass) -> None:
        now, ways = self._clock.now(), self._mes.capabilities
        phase = "listing" if ways.listing else "looking"

        def begin(work: Any) -> None:
            work.reconciling.forget_shown(self._destination)
            ours = work.reconciling.ours_open(self._destination)
            if not (ways.listing or ways.lookup):
                note = say.NOTHING_TO_COMPARE()
                work.reconciling.advance(pass_, now, phase="done", finished_at=now, note=note)
            else:
                work.reconciling.advance(pass_, now, phase=phase, ours=ours, started_at=now)

        await self._store.write(begin)

    # --- what the MES shows ---------------------------------------------------------------------

    async def _list(self, pass_: Pass) -> None:
        asked_at = self._clock.now()
        jobs, following = await self._mes.list(pass_.cursor)
        endless = following is not None and following in self._given | {pass_.cursor}
        now = self._clock.now()

        def keep(work: Any) -> None:
            for reference, theirs in _by_reference(jobs).items():
                self._heard(work, pass_, reference, theirs, asked_at, now)
            columns: dict[str, Any] = {"shown": pass_.shown + len(jobs), "cursor": following}
            if endless or following is None:
                note = say.LIST_ENDLESS(cursor=following) if endless else None
                columns |= {"phase": "looking", "cursor": None, "note": note}
            work.reconciling.advance(pass_, now, **columns)

        await self._store.write(keep)
        reach(AFTER_PAGE)
        self._given = set() if endless or following is None else self._given | {following}

    def _heard(
        self,
        work: Any,
        pass_: Pass,
        reference: str,
        jobs: Sequence[MesJob],
        asked_at: datetime,
        now: datetime,
    ) -> None:
        ours = work.reconciling.ours(self._destination, reference)
        if ours is not None and ours.stage not in FINAL:
            # Remembered, since it may be shown a second time; what rests is too much to remember.
            work.reconciling.show(self._destination, jobs)
            jobs = work.reconciling.shown(self._destination, reference)
        self._compare(work, pass_, reference, ours, jobs, asked_at, now)

    # --- what we say ----------------------------------------------------------------------------

    async def _look(self, pass_: Pass) -> None:
        after = int(pass_.cursor or 0)
        found = await self._store.read(lambda work: self._wanted(work, pass_, after))
        if not found:
            await self._end_of_looking(pass_)
            return
        asked_at = self._clock.now()
        answers = await self._find([ours for _, ours, jobs in found if jobs is None])
        found = list(
            takewhile(lambda one: one[2] is not None or one[1].reference in answers, found)
        )
        now = self._clock.now()

        def keep(work: Any) -> None:
            unanswered = 0
            for _, ours, jobs in found:
                answer = jobs if jobs is not None else answers[ours.reference]
                if answer is None:
                    unanswered += 1
                    work.reconciling.touch(pass_, ours.reference)
                    continue
                fresh = work.reconciling.ours(self._destination, ours.reference)
                at = asked_at if jobs is None else pass_.started_at
                self._compare(work, pass_, ours.reference, fresh, answer, at, now)
            work.reconciling.advance(
                pass_,
                now,
                cursor=str(found[-1][0]),
                compared=pass_.compared + len(found),
                unanswered=pass_.unanswered + unanswered,
            )

        await self._store.write(keep)
        reach(AFTER_PAGE)

    def _wanted(
        self, work: Any, pass_: Pass, after: int
    ) -> list[tuple[int, Ours, Sequence[MesJob] | None]]:
        """Work orders with what the list showed of them; None where the MES is to be asked."""
        page = work.reconciling.ours_after(self._destination, after, self.settings.lookups)
        ways = self._mes.capabilities
        wanted: list[tuple[int, Ours, Sequence[MesJob] | None]] = []
        for row, ours in page:
            jobs = work.reconciling.shown(self._destination, ours.reference)
            ask = not jobs and ways.lookup and (ours.state in ARRIVED or not ways.listing)
            # Who did not see the whole list cannot say that something is not on it.
            unseen = not jobs and not ways.lookup and pass_.note is not None
            wanted.append((row, ours, None if ask or unseen else jobs))
        return wanted

    async def _find(self, wanted: Sequence[Ours]) -> dict[str, Sequence[MesJob] | None]:
        """What the MES answers, one by one; None for no usable answer, nothing once it has no room.

        Raises:
            NotNow: not even the first could be asked.
        """
        answers: dict[str, Sequence[MesJob] | None] = {}
        for ours in wanted:
            try:
                answers[ours.reference] = await self._ask(ours.reference)
            except NotNow:
                if not answers:
                    raise
                break
        return answers

    async def _ask(self, reference: str) -> Sequence[MesJob] | None:
        if not self._mes.capabilities.lookup:
            return None
        try:
            return await self._mes.find(WorkOrderRef(reference))
        except MesUnavailable:
            return None  # It says nothing about the job.

    async def _end_of_looking(self, pass_: Pass) -> None:
        now = self._clock.now()
        if self._mes.capabilities.lookup:
            await self._store.write(
                lambda work: work.reconciling.advance(pass_, now, phase="proving", cursor=None)
            )
        else:
            await self._finish(pass_)

    # --- what seems to be missing there -----------------------------------------------------------

    async def _prove(self, pass_: Pass) -> None:
        now = self._clock.now()
        suspects: Sequence[Finding] = await self._store.read(
            lambda work: work.reconciling.suspects(pass_, self.settings.lookups)
        )
        if not suspects:
            await self._finish(pass_)
            return
        # One that seems to lie ahead was seen before our clock was set back.
        soon = now + self._ways.lag
        due = [one for one in suspects if not now < one.seen_at + self._ways.lag <= soon]
        if not due:
            return
        await self._ask_again(pass_, due)

    async def _ask_again(self, pass_: Pass, suspects: Sequence[Finding]) -> None:
        ours = await self._store.read(
            lambda work: [
                work.reconciling.ours(self._destination, one.reference) for one in suspects
            ]
        )
        asked_at = self._clock.now()
        answers = await self._find([one for one in ours if one is not None])
        now = self._clock.now()

        def keep(work: Any) -> None:
            unanswered = 0
            for one in suspects:
                if one.reference not in answers and not _is_strange(ours, one):
                    continue  # Not asked: it has its turn in the next step.
                jobs = answers.get(one.reference)
                if jobs is None:
                    unanswered += 1
                    # No proof, and no reason to ask for ever: the next pass begins anew.
                    work.reconciling.change(one, state="gone", seen_at=now)
                    continue
                fresh = work.reconciling.ours(self._destination, one.reference)
                self._compare(work, pass_, one.reference, fresh, jobs, asked_at, now, proven=True)
            work.reconciling.advance(pass_, now, unanswered=pass_.unanswered + unanswered)

        await self._store.write(keep)
        reach(AFTER_PAGE)

    # --- writing down ---------------------------------------------------------------------------

    def _compare(  # Both sides, and when each was seen.
        self,
        work: Any,
        pass_: Pass,
        reference: str,
        ours: Ours | None,
        jobs: Sequence[MesJob],
        asked_at: datetime,
        now: datetime,
        *,
        proven: bool = False,
    ) -> None:
        found = compare(ours, jobs, asked_at, self._ways, now)
        if found is None:
            work.reconciling.clear(pass_, reference, now)
            return
        if self._is_one_too_many(work, found.kind, reference):
            return
        no = ours.order_no if ours else _own_number(reference)
        sure = proven or self._is_sure(work, pass_, found.kind, reference)
        state = "open" if sure else "suspected"
        work.reconciling.note(pass_, reference, no, found, state, now)

    def _is_one_too_many(self, work: Any, kind: Kind, reference: str) -> bool:
        """A MES that works for others too may have any number of jobs that we do not know."""
        if kind is not Kind.MISSING_HERE:
            return False
        if work.reconciling.known(self._destination, kind, reference) is not None:
            return False
        return bool(work.reconciling.counts().get(kind, 0) >= NAMED)

    def _is_sure(self, work: Any, pass_: Pass, kind: Kind, reference: str) -> bool:
        """Absence is seen twice: where the MES cannot be asked about one, in two lists."""
        if kind is not Kind.MISSING_THERE:
            return True
        if self._mes.capabilities.lookup:
            return False
        known = work.reconciling.known(self._destination, kind, reference)
        return (
            known is not None
            and known.state in {"suspected", "open"}
            and known.pass_row < pass_.row
            and known.seen_at + self._ways.lag <= pass_.started_at
        )

    # --- the end of a pass ----------------------------------------------------------------------

    async def _finish(self, pass_: Pass) -> None:
        now = self._clock.now()

        def finish(work: Any) -> int:
            # Who did not see the whole list cannot say that something is gone.
            gone: int = 0 if pass_.note else work.reconciling.clear_unseen(pass_, now)
            work.reconciling.forget_shown(self._destination)
            note = self._by_policy(work, pass_, now) or pass_.note
            work.reconciling.advance(pass_, now, phase="done", finished_at=now, note=note)
            return gone

        gone = await self._store.write(finish)
        log.info(
            "reconcile.finished",
            destination=self._destination,
            shown=pass_.shown,
            compared=pass_.compared,
            unanswered=pass_.unanswered,
            gone=gone,
        )

    def _by_policy(self, work: Any, pass_: Pass, now: datetime) -> str | None:
        """Decide what the policy decides; says why not, where it does not."""
        fresh = [one for one in work.reconciling.fresh(pass_, NAMED) if one.decision is None]
        wanted = [(one, repaired_by(one, self.settings.policy)) for one in fresh]
        resent = [one for one, decision in wanted if decision is Decision.RESEND]
        too_many = len(resent) > MOST_RESENT
        for one, decision in wanted:
            if decision is None or (too_many and decision is Decision.RESEND):
                continue
            columns = {"decided_by": POLICY, "decided_at": now}
            work.reconciling.change(one, state="decided", decision=decision, **columns)
        if too_many:
            return say.DENIES_TOO_MANY(n=len(resent))
        return None


def _by_reference(jobs: Sequence[MesJob]) -> Mapping[str, Sequence[MesJob]]:
    found: defaultdict[str, list[MesJob]] = defaultdict(list)
    for job in jobs:
        found[job.reference].append(job)
    return found


def _is_strange(ours: Sequence[Ours | None], finding: Finding) -> bool:
    """Whether we do not know a reference any more: there is nothing to be asked about it."""
    return finding.reference not in {one.reference for one in ours if one is not None}


def _own_number(reference: str) -> str | None:
    """The order a reference would belong to, if it looks like one of ours."""
    number = order_no_of(reference)
    return number if order_n(number) else None
