"""A comparison with a MES as it is kept: its passes, and what they have found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from orderkeep.bridge.ports import MesJob
from orderkeep.kernel.errors import Conflict, Refused
from orderkeep.ledger.reconcile import Decision, Found, Kind, Ours


class PassMoved(Conflict):
    """Another process has taken the pass further since it was read."""


class FindingNotFound(Refused):
    """There is no such finding."""


class DecisionRefused(Refused):
    """The finding does not allow the decision, or has been settled since."""


class Pass(msgspec.Struct, frozen=True, omit_defaults=True):
    """One comparison of everything.

    ``phase``: ``asked`` by a person, ``listing`` what the MES shows, ``looking`` at what we say,
    ``proving`` what seems to be missing there, ``done``.
    """

    row: int
    destination: str
    started_at: datetime
    by: str
    phase: str
    moved_at: datetime
    cursor: str | None = None
    shown: int = 0
    ours: int = 0
    compared: int = 0
    unanswered: int = 0
    finished_at: datetime | None = None
    note: str | None = None


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a pass found. ``state``: ``suspected open decided repaired dismissed gone``."""

    row: int
    destination: str
    kind: Kind
    reference: str
    order_no: str | None
    what: str
    repairs: Sequence[Decision]
    since: datetime
    seen_at: datetime
    pass_row: int
    state: str
    status: str | None = None
    decision: str | None = None
    note: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class ReconcileStore(Protocol):
    """Passes and findings, and our side of the comparison."""

    # --- passes ---------------------------------------------------------------------------------

    def running(self, destination: str) -> Pass | None:
        """The pass that is not done."""
        ...

    def last(self, destination: str) -> Pass | None:
        """The newest pass that is done."""
        ...

    def begin(self, destination: str, phase: str, by: str, now: datetime) -> Pass:
        """Begin a pass; the one that runs already, if there is one."""
        ...

    def advance(self, pass_: Pass, now: datetime, **columns: Any) -> Pass:
        """Take a pass further.

        Raises:
            PassMoved: it is not as it was read.
        """
        ...

    # --- both sides -----------------------------------------------------------------------------

    def show(self, destination: str, jobs: Sequence[MesJob]) -> None:
        """Remember what the MES showed, until the end of the pass."""
        ...

    def shown(self, destination: str, reference: str) -> Sequence[MesJob]:
        """What it showed for a reference."""
        ...

    def forget_shown(self, destination: str) -> None: ...

    def ours(self, destination: str, reference: str) -> Ours | None:
        """What we say of a work order; None when we never asked for it."""
        ...

    def ours_after(self, destination: str, row: int, limit: int) -> Sequence[tuple[int, Ours]]:
        """Work orders of open orders behind a row, each with its own."""
        ...

    def ours_open(self, destination: str) -> int:
        """How many work orders of open orders there are."""
        ...

    # --- findings -------------------------------------------------------------------------------

    def known(self, destination: str, kind: Kind, reference: str) -> Finding | None: ...

    def note(
        self,
        pass_: Pass,
        reference: str,
        order_no: str | None,
        found: Found,
        state: str,
        at: datetime,
    ) -> Finding:
        """Keep a finding; one that is known keeps its age, and what a person said of it."""
        ...

    def touch(self, pass_: Pass, reference: str) -> None:
        """Nothing was learnt of a reference: what is known of it stands."""
        ...

    def clear(self, pass_: Pass, reference: str, at: datetime, but: Kind | None = None) -> None:
        """Nothing is wrong with a reference any more, or only this."""
        ...

    def clear_unseen(self, pass_: Pass, at: datetime) -> int:
        """What this pass has not found again is gone; how many."""
        ...

    def suspects(self, pass_: Pass, limit: int) -> Sequence[Finding]:
        """What seems to be missing there, the oldest first."""
        ...

    def fresh(self, pass_: Pass, limit: int) -> Sequence[Finding]:
        """Open findings of a pass."""
        ...

    def decided(self, destination: str, limit: int) -> Sequence[Finding]:
        """Findings with a decision that is not carried out."""
        ...

    def finding(self, row: int) -> Finding:
        """One finding.

        Raises:
            FindingNotFound: there is none.
        """
        ...

    def change(self, finding: Finding, **columns: Any) -> None:
        """Write columns of a finding, if it is still as it was read.

        Raises:
            DecisionRefused: it is not.
        """
        ...

    def page(self, states: Sequence[str], after: int | None, limit: int) -> Sequence[Finding]:
        """Findings in these states, the newest first, from behind a row."""
        ...

    def counts(self) -> dict[str, int]:
        """Open findings by kind."""
        ...


class ReconcileWork(Protocol):
    """A unit of work that compares."""

    @property
    def reconciling(self) -> ReconcileStore: ...
