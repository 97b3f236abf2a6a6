"""``orderkeep verify``: recompute every promise from the tables and name what does not hold."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from orderkeep.ledger.balance import Balance, Class
from orderkeep.ledger.checks import Checked, check, spoilt
from orderkeep.ledger.evidence import Case, Violation
from orderkeep.ledger.far_side import Claims, FarSide
from orderkeep.ledger.model_files import References
from orderkeep.ledger.ports import Kept, Ledger, Snapshot
from orderkeep.orders.policy import Policy

Progress = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done, and how much there is."""

OWN_RULES = ("S1", "S2", "S5", "S6", "S7", "S8", "S10")
_SHOWN = ("accepted", *Class, "received_not_yet", "not_understood")
MES_RULES = ("S3", "S4", "S9")


class Scope(msgspec.Struct):
    """What was looked at, so that silence is not taken for more than it is."""

    rules: list[str]
    orders: int = 0
    events: int = 0
    files: int = 0
    files_hashed: int = 0
    bytes_hashed: int = 0
    mes_jobs: int | None = None
    """Jobs the MES showed; None when it was not asked."""
    mes_unanswered: list[str] = []
    """References that the MES gave no usable answer for: nothing is known about them."""
    mes_unfinished: str | None = None
    """Why the MES's listing was not read to its end; None if it was, or has none.

    Where the MES did not answer, nothing is known of what it has beyond ``mes_jobs``.
    """
    balance: dict[str, int] = {}


class Report(msgspec.Struct):
    """What ``verify`` answers with."""

    checked: Scope
    violations: list[Violation]


class Verifier:
    """Checks everything once; ``far_side`` only when the MES is to be asked."""

    def __init__(
        self,
        ledger: Ledger,
        kept: Kept,
        policy: Policy,
        far_side: FarSide | None,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._kept = kept
        self._policy = policy
        self._far_side = far_side
        self._progress = progress
        self._claims = Claims()
        rules = [*OWN_RULES, *(MES_RULES if far_side else ())]
        self.report = Report(Scope(sorted(rules, key=lambda rule: int(rule[1:]))), [])

    async def run(self, now: datetime, *, all_files: bool) -> Report:
        """Check, and return what was checked and what does not hold.

        What the tables hold is checked in any case; where the MES did not answer, it says so.
        """
        if self._far_side:
            await self._far_side.read_listing()
        with self._ledger.snapshot() as snapshot:
            references = References(snapshot.stored)
            self._orders(snapshot, references, now)
        await self._files(references, everything=all_files)
        if self._far_side:
            await self._mes(self._far_side)
        self.report.violations.sort(key=_place)
        return self.report

    def _orders(self, snapshot: Snapshot, references: References, now: datetime) -> None:
        found, scope = self.report.violations, self.report.checked
        sums: Counter[Class] = Counter()
        for checked in self._checked(snapshot):
            found += checked.violations
            found += references.add(checked.order_no, checked.files)
            scope.orders += checked.there
            scope.events += checked.events
            if checked.class_ is not None:
                sums[checked.class_] += 1
            if self._far_side:
                self._claims.add(checked)
        found += snapshot.doubles()
        balance = snapshot.balance(now)
        scope.balance = {name: getattr(balance, name) for name in _SHOWN}
        found += _adds_up(balance, sums)
        scope.files = references.files

    def _checked(self, snapshot: Snapshot) -> Iterator[Checked]:
        stages: Counter[str] = Counter()
        last = snapshot.given_out()
        for case in snapshot.cases():
            self._progress("orders", case.n, last)
            if case.row is not None:
                stages[case.row.stage] += 1
            yield self._check(case)
        self.report.violations += _miscounted(snapshot, stages)

    def _check(self, case: Case) -> Checked:
        try:
            return check(case, self._policy)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Tables changed by hand hold anything; one such order must not hide the others.
            what = f"what is stored cannot be checked: {type(error).__name__}"
            return spoilt(case, Violation("S5", case.order_no, what))

    async def _files(self, references: References, *, everything: bool) -> None:
        scope = self.report.checked
        async for told in references.check(self._kept, everything=everything):
            if isinstance(told, Violation):
                self.report.violations.append(told)
                continue
            scope.files_hashed += 1
            scope.bytes_hashed += told
            self._progress("files", scope.files_hashed, references.files)

    async def _mes(self, far_side: FarSide) -> None:
        self._progress("MES", 0, len(self._claims.at_mes))
        self.report.violations += await far_side.check(self._claims, self._still_at_mes)
        self.report.checked.mes_jobs = len(far_side.shown)
        self.report.checked.mes_unanswered = sorted(far_side.unanswered)
        self.report.checked.mes_unfinished = far_side.unfinished

    def _still_at_mes(self, reference: str) -> bool:
        """The tables may have moved on while the MES was asked."""
        with self._ledger.snapshot() as now:
            return now.still_at_mes(reference)


def _adds_up(balance: Balance, sums: Counter[Class]) -> Iterator[Violation]:
    """S6 over all orders: the lists' columns and the events lead to the same sums."""
    for name in Class:
        shown = getattr(balance, name)
        if shown != sums[name]:
            what = f"the balance says {shown} {name}, the events say {sums[name]}"
            yield Violation("S6", None, what)
    if balance.sum_of_classes != balance.accepted:
        what = f"{balance.accepted} accepted, {balance.sum_of_classes} in the balance"
        yield Violation("S6", None, what)


def _miscounted(snapshot: Snapshot, stages: Counter[str]) -> Iterator[Violation]:
    counted = snapshot.stage_counts()
    for stage in sorted({*stages, *counted}):
        if counted.get(stage, 0) != stages[stage]:
            what = f"the counter of {stage} says {counted.get(stage, 0)}, there are {stages[stage]}"
            yield Violation("S6", None, what)


def _place(violation: Violation) -> tuple[int, str, str]:
    """By rule, then by order; what belongs to no order comes last in its rule."""
    number = violation.order_no or "~"
    return int(violation.rule[1:]), number.rjust(24), violation.what
