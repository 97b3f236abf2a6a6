"""What a MES shows against what we claim, without a network between."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count, cycle

import pytest

from orderkeep.bridge.ports import RECALLED, Capabilities, MesJob, MesUnavailable, WorkOrder
from orderkeep.kernel.ids import WorkOrderRef, order_no
from orderkeep.ledger.far_side import BUSY_S, LONGEST_PAUSE_S, TRIES, Claims, FarSide

FIRST, SECOND = order_no(1), order_no(2)


class SlowMes:
    """A MES in memory that shows a job only after so many questions about it."""

    def __init__(self, *references: str, listing: bool = True, denials: int = 0) -> None:
        self.capabilities = Capabilities(
            idempotency="none",
            lookup=True,
            recall=False,
            listing=listing,
            visibility_lag=timedelta(seconds=7),
        )
        self.away = self.busy = 0
        self.retry_after: timedelta | None = None
        self._denials = denials
        self._jobs = [MesJob(f"m{at}", one, "accepted") for at, one in enumerate(references)]

    async def submit(self, work_order: WorkOrder) -> MesJob:
        raise MesUnavailable("nothing is sent by an audit")

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        self._answer()
        if self._denials:
            self._denials -= 1
            return []
        return [job for job in self._jobs if job.reference == reference]

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        self._answer()
        at = int(cursor or 0)
        shown = self._jobs[at : at + 1] if not self._denials else []
        return shown, str(at + 1) if at + 1 < len(self._jobs) else None

    async def recall(self, reference: WorkOrderRef) -> None:
        raise MesUnavailable("nothing is taken back by an audit")

    def say(self, at: int, status: str) -> None:
        """Change a job's status."""
        self._jobs[at] = replace(self._jobs[at], status=status)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise MesUnavailable("away")
        if self.busy:
            self.busy -= 1
            raise MesUnavailable("no room", status=429, retry_after=self.retry_after)


class Audit:
    """A far side whose pauses are counted instead of waited for."""

    def __init__(self, mes: SlowMes, recalled: Container[str | None] = RECALLED) -> None:
        self.slept: list[float] = []
        self.far_side = FarSide(mes, self._sleep, recalled=recalled)

    async def found(self, claims: Claims, *, still: bool = True) -> list[tuple[str, str | None]]:
        await self.far_side.read_listing()
        violations = await self.far_side.check(claims, lambda _: still)
        return [(one.rule, one.order_no) for one in violations]

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def claims(*references: str) -> Claims:
    numbers = {reference: reference for reference in references}
    return Claims(at_mes=numbers, sent=set(references), orders=set(references))


async def test_agreement_needs_no_look_ups() -> None:
    audit = Audit(SlowMes(FIRST, SECOND))

    assert await audit.found(claims(FIRST, SECOND)) == []
    assert audit.slept == []
    assert len(audit.far_side.shown) == 2


@pytest.mark.parametrize("listing", [True, False])
async def test_two_jobs_under_one_reference_are_a_double(listing: bool) -> None:  # noqa: FBT001
    audit = Audit(SlowMes(FIRST, FIRST, listing=listing))

    assert await audit.found(claims(FIRST)) == [("S3", FIRST)]


async def test_a_job_is_missed_only_after_the_lag_and_a_second_look() -> None:
    audit = Audit(SlowMes(SECOND))

    assert await audit.found(claims(FIRST, SECOND)) == [("S4", FIRST)]
    assert audit.slept == [7.0]


async def test_a_job_that_shows_late_is_not_missed() -> None:
    audit = Audit(SlowMes(FIRST, denials=1))

    assert await audit.found(claims(FIRST)) == []


async def test_an_order_that_moved_on_meanwhile_is_not_accused() -> None:
    audit = Audit(SlowMes())

    assert await audit.found(claims(FIRST), still=False) == []


async def test_a_job_nobody_sent_is_a_ghost() -> None:
    audit = Audit(SlowMes(FIRST, f"{FIRST}/2", "X-1", SECOND))
    known = claims(FIRST)
    known.unsent[SECOND] = SECOND
    known.orders.add(SECOND)

    assert await audit.found(known) == [("S9", FIRST), ("S9", SECOND), ("S9", "X-1")]


async def test_without_a_listing_only_what_never_will_be_sent_is_asked_for() -> None:
    """One that waits may be sent while we look: it would be accused of being a ghost."""
    audit = Audit(SlowMes(FIRST, SECOND, listing=False))
    known = Claims(unsent={FIRST: FIRST, SECOND: SECOND}, dropped={SECOND}, orders={FIRST, SECOND})

    assert await audit.found(known) == [("S9", SECOND)]


async def test_a_mes_that_is_away_is_asked_again_and_then_left_open() -> None:
    mes = SlowMes(FIRST, listing=False)
    mes.away = TRIES * 2
    audit = Audit(mes)

    assert await audit.found(claims(FIRST)) == []
    assert audit.far_side.unanswered == {FIRST}


async def test_a_mes_that_comes_back_is_heard() -> None:
    mes = SlowMes(FIRST, FIRST)
    mes.away = TRIES - 1
    audit = Audit(mes)

    assert await audit.found(claims(FIRST)) == [("S3", FIRST)]


@pytest.mark.parametrize("asked", [None, timedelta(0), timedelta(seconds=2)])
async def test_a_mes_that_is_only_busy_is_waited_for(asked: timedelta | None) -> None:
    """It has no room beside a bridge: that it answers so proves that it will answer."""
    mes = SlowMes(FIRST, FIRST)
    mes.busy, mes.retry_after = TRIES * 10, asked
    audit = Audit(mes)

    assert await audit.found(claims(FIRST)) == [("S3", FIRST)]
    assert audit.far_side.unfinished is None
    assert min(audit.slept) > 0


async def test_a_mes_that_is_busy_for_ever_is_not_waited_for_for_ever() -> None:
    mes = SlowMes(FIRST)
    mes.busy = 10**9
    audit = Audit(mes)

    assert await audit.found(claims(FIRST)) == []
    assert audit.far_side.unfinished == "the MES did not answer: no room"
    assert BUSY_S <= sum(audit.slept) <= BUSY_S + TRIES * LONGEST_PAUSE_S


async def test_a_mes_that_does_not_answer_its_listing_accuses_nobody() -> None:
    mes = SlowMes(FIRST)
    mes.away = 10**9
    audit = Audit(mes)

    assert await audit.found(claims(FIRST, SECOND)) == []
    assert audit.far_side.unfinished == "the MES did not answer: away"
    assert len(audit.slept) == TRIES - 1  # Nothing is looked up one by one there.


async def test_what_was_shown_before_it_went_away_still_counts() -> None:
    class Leaving(SlowMes):
        async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
            if cursor == "2":
                raise MesUnavailable("gone home")
            return await super().list(cursor)

    audit = Audit(Leaving(FIRST, FIRST, SECOND))

    assert await audit.found(claims(FIRST)) == [("S3", FIRST)]
    assert audit.far_side.unfinished == "the MES did not answer: gone home"


class EndlessMes(SlowMes):
    """A MES whose listing shows its first job on every page, and never says that it was all."""

    def __init__(self, *references: str, cursors: Iterator[str], lookup: bool = True) -> None:
        super().__init__(*references)
        self.capabilities = replace(self.capabilities, lookup=lookup)
        self._cursors = cursors

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        return self._jobs[:1], next(self._cursors)


async def test_a_repeated_cursor_ends_the_listing_and_is_told() -> None:
    audit = Audit(EndlessMes(FIRST, SECOND, cursors=cycle(["a", "b"])))

    assert await audit.found(claims(FIRST, SECOND)) == []
    assert audit.far_side.unfinished == ("the MES's list does not end: it repeated the cursor 'a'")


async def test_a_listing_that_goes_on_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orderkeep.ledger.far_side.MOST_PAGES", 30)
    audit = Audit(EndlessMes(FIRST, cursors=map(str, count())))

    assert await audit.found(claims(FIRST)) == []
    assert audit.far_side.unfinished == ("the MES's list does not end: it went on after 30 pages")


async def test_what_a_listing_without_an_end_did_not_show_is_an_open_question() -> None:
    audit = Audit(EndlessMes(FIRST, SECOND, cursors=cycle("ab"), lookup=False))

    assert await audit.found(claims(FIRST, SECOND)) == []
    assert audit.far_side.unanswered == {SECOND}


async def test_a_job_that_this_mes_calls_recalled_is_no_double() -> None:
    mes = SlowMes(FIRST, FIRST, FIRST)
    mes.say(0, "storniert")
    audit = Audit(mes, recalled={"storniert"})

    assert await audit.found(claims(FIRST)) == [("S3", FIRST)]
    mes.say(1, "storniert")
    again = Audit(mes, recalled={"storniert"})
    assert await again.found(claims(FIRST)) == []
