"""What the office is built from: everything is passed in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from orderkeep.access.ports import AccessStore, Session
from orderkeep.access.registry import Registry
from orderkeep.access.sessions import Sessions
from orderkeep.board.actions import Viewer
from orderkeep.board.ports import BoardStore
from orderkeep.bridge.crm_deciding import CrmDeciding
from orderkeep.bridge.pausing import Pausing
from orderkeep.bridge.sorting import Sorting
from orderkeep.delivery.replay import Replayer
from orderkeep.delivery.tally import Counting
from orderkeep.files.ports import FileStore
from orderkeep.files.upload import Files
from orderkeep.http.office.counted import Metrics
from orderkeep.http.office.stream import Stream
from orderkeep.http.peers import Proxies
from orderkeep.intake.accept import Intake
from orderkeep.intake.drafts import Drafts
from orderkeep.intake.homes import Moving
from orderkeep.intake.taking_over import TakingOver
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids, OrderNo
from orderkeep.ledger.explain import Facts
from orderkeep.ledger.keeping import Keeper
from orderkeep.ledger.lost import Table
from orderkeep.ledger.reconciler import Reconciler
from orderkeep.ledger.worklist import Worklist
from orderkeep.observe.numbers import Numbers
from orderkeep.observe.traffic import Traffic
from orderkeep.orders.commands import CancelAnyway
from orderkeep.orders.events import Cause, Recorded
from orderkeep.orders.master import Handled, OrderMaster
from orderkeep.orders.order import Order
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderStore
from orderkeep.orders.view import BoardRow

T = TypeVar("T")


class OfficeWork(Protocol):
    """The part of a unit of work that the office uses."""

    @property
    def access(self) -> AccessStore: ...

    @property
    def board(self) -> BoardStore: ...

    @property
    def orders(self) -> OrderStore: ...

    @property
    def files(self) -> FileStore: ...


class OfficeStore(Protocol):
    """The store as the office needs it; see ``kernel.store.Store``."""

    async def write(self, unit: Callable[[Any], T]) -> T: ...

    async def read(self, query: Callable[[Any], T]) -> T: ...

    async def read_long(self, query: Callable[[Any], T]) -> T:
        """The same beside the event loop, for what takes longer than a millisecond or two."""
        ...

    def on_changes(self, watcher: Callable[[Sequence[BoardRow]], None]) -> None:
        """Call ``watcher`` on the event loop with the rows that a commit changed."""
        ...

    def health(self) -> Mapping[str, str | int | float]: ...


class Carried(Protocol):
    """A transport that tells of itself."""

    @property
    def traffic(self) -> Traffic: ...

    def state(self) -> Mapping[str, Any]:
        """How each connection is, by name: ``connected_since``, ``blocked``, ``last_error``."""
        ...

    def drift(self) -> list[str]:
        """What is different at the broker from what was declared, in sentences."""
        ...


class ClaimLane(Protocol):
    """Where operators take orders."""

    async def claim_next(
        self, operator: str, now: datetime, until: datetime, cause: Cause
    ) -> OrderNo | None:
        """Take the most urgent order that is free; None when there is none."""
        ...

    async def claim(
        self, no: OrderNo, operator: str, now: datetime, until: datetime, cause: Cause
    ) -> Recorded:
        """Take this order; taking it again changes nothing."""
        ...


class Floor(Protocol):
    """The built-in workshop; see ``floor.workshop``."""

    async def act(  # A step's facts, all optional but two.
        self,
        reference: str,
        action: str,
        operator: str | None = None,
        *,
        reason: str | None = None,
        tracking_no: str | None = None,
        carrier: str | None = None,
    ) -> Any:
        """Do a step."""
        ...

    async def cancel_anyway(
        self,
        master: OrderMaster,
        no: OrderNo,
        command: CancelAnyway,
        cause: Cause,
        expected_version: int | None = None,
    ) -> Handled:
        """Cancel an order unless its parcel has left."""
        ...


class Decisions(Protocol):
    """Where a person settles a delivery; see ``bridge.dispatch``."""

    async def decide(
        self, no: OrderNo, decision: str, cause: Cause, mes_id: str | None = None
    ) -> Order:
        """Settle what the machine cannot: ``there``, ``send_again`` or ``give_up``."""
        ...


@dataclass(frozen=True, slots=True)
class OfficeSettings:
    """How the office presents itself."""

    mes: str = "floor"
    """``floor``, or ``http``: the work is done elsewhere and our board is read-only."""
    currency: str = "RUB"
    secure_cookies: bool = False
    """Set when TLS ends before us: the cookie then travels over TLS only."""
    static_dir: Path | None = None
    leaving: Callable[[], bool] = lambda: False
    """Whether the process has been told to end, and nobody should be sent to it any more."""
    proxies: Proxies = field(default_factory=Proxies)
    """Those whose word on where a request comes from is believed."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The price book as far as an order by hand needs it; ready to be shown."""

    book_version: str
    label: str
    materials: Sequence[Mapping[str, Any]] = ()
    skus: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class LedgerDesk:
    """What we hold against what others hold; see ``ledger``."""

    balances: Keeper
    reconciler: Reconciler
    facts: Callable[[Any, OrderNo], Facts]


@dataclass(frozen=True, slots=True)
class LostDesk:
    """Orders that other systems lost; ``view`` reads the database that is set up, if one is."""

    worklist: Worklist
    view: Callable[[], Awaitable[Table]] | None = None
    view_name: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterDesk:
    """Whoever sends dead letters again; ``schema`` is that of a kind's body, by version."""

    replayer: Replayer
    schema: Callable[[str | None, int], Any]


@dataclass(frozen=True, slots=True)
class SourceDesk:
    """Taking over from present systems, and where their orders live."""

    over: TakingOver
    moving: Moving


@dataclass(frozen=True, slots=True)
class Office:
    """All parts, as handlers see them."""

    store: OfficeStore
    master: OrderMaster
    claims: ClaimLane
    sessions: Sessions
    registry: Registry
    clock: Clock
    ids: Ids
    policy: Policy
    settings: OfficeSettings
    stream: Stream
    metrics: Metrics
    numbers: Numbers
    floor: Floor | None = None
    decisions: Decisions | None = None
    catalogue: Callable[[], Catalogue] | None = None
    ledger: LedgerDesk | None = None
    lost: LostDesk | None = None
    intake: Intake | None = None
    drafts: Drafts | None = None
    files: Files | None = None
    carried: Carried | None = None
    counting: Counting | None = None
    pausing: Pausing | None = None
    sources: SourceDesk | None = None
    dead_letters: DeadLetterDesk | None = None
    sorting: Sorting | None = None
    crm: CrmDeciding | None = None

    @property
    def read_only(self) -> bool:
        """Whether the board only shows: the work is done in a foreign MES."""
        return self.settings.mes != "floor"

    def viewer(self, session: Session) -> Viewer:
        """The signed-in person as the board sees them."""
        return Viewer(
            session.person.login,
            session.person.role,
            read_only=self.read_only,
            rework_limit=self.policy.rework_limit,
        )


OfficeDep = NamedDependency[SkipValidation[Office]]
SessionDep = NamedDependency[SkipValidation[Session]]
