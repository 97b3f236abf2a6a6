"""What the board asks of the store: short reads only, each through an index."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from orderkeep.access.ports import AccessStore
from orderkeep.board.filters import Cursor, PageQuery
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.ports import OrderStore
from orderkeep.orders.view import BoardRow


class Page(msgspec.Struct, frozen=True):
    """A page of a list; ``next`` is None at its end. It may hold fewer rows than were asked for."""

    rows: Sequence[BoardRow]
    next: Cursor | None


class Capped(msgspec.Struct, frozen=True):
    """A count that stops counting: ``more`` when there are more than ``n``."""

    n: int
    more: bool = False


class Counts(msgspec.Struct, frozen=True):
    """The board's numbers; ``mine`` is of one operator."""

    stages: Mapping[str, int]
    claimable: Capped
    mine: Capped
    held: Capped
    at_risk: Capped
    late: Capped
    needs_person: Capped
    approval: Capped


class Backlog(msgspec.Struct, frozen=True):
    """What waits, for whoever watches us; all but ``orders`` stop counting somewhere.

    ``unrouted``: envelopes put aside because nobody takes their kind.
    """

    stages: dict[str, int]
    orders: int
    unsent: int
    oldest_unsent_s: float
    unhandled: int
    oldest_unhandled_s: float
    unrouted: int


class Hop(msgspec.Struct, frozen=True):
    """A proof that something about an order passed from one part to another."""

    at: datetime
    from_: str = msgspec.field(name="from")
    to: str
    what: str
    state: str
    id: str


class Found(msgspec.Struct, frozen=True):
    """An order that a search found, and by what."""

    order_no: OrderNo
    why: str


class Searched(msgspec.Struct, frozen=True):
    """What a search found; ``partial`` when it did not look at every order."""

    found: Sequence[Found]
    partial: bool


class Wanted(msgspec.Struct, frozen=True):
    """What a search among clients looks for; ``contacts`` when the searcher may see them."""

    text: str
    contacts: bool
    limit: int
    deadline: timedelta


class Submitted(msgspec.Struct, frozen=True):
    """What the client wrote beside the lines: their own data. Empty for a draft."""

    customer: Mapping[str, str]
    delivery_address: str | None
    note: str | None


class BoardStore(Protocol):
    """Lists of orders, read through their indexes."""

    def page(self, query: PageQuery) -> Page: ...

    def approvals(self, after: Cursor | None, limit: int) -> Page:
        """Orders that wait for a seller: to approve, to price, or to decide a cancellation."""
        ...

    def row(self, no: OrderNo) -> BoardRow | None: ...

    def version(self) -> int:
        """Grows with every event of any order."""
        ...

    def counts(self, login: str) -> Counts: ...

    def in_work(self, login: str) -> Capped:
        """How many orders an operator holds."""
        ...

    def backlog(self, now: datetime) -> Backlog: ...

    def submitted(self, no: OrderNo) -> Submitted: ...

    def hops(
        self, no: OrderNo, references: Sequence[str], instants: Sequence[datetime]
    ) -> Sequence[Hop]:
        """What is proven of an order's way, in time.

        Args:
            no: the order.
            references: of its work orders.
            instants: of its events, near which its envelopes were saved.
        """
        ...

    def search_refs(self, prefix: str, limit: int) -> Sequence[Found]:
        """Orders whose client's own number begins so."""
        ...

    def search_newest(self, wanted: Wanted) -> Searched:
        """Look through the newest orders for a file's name or a client; long, on its own thread."""
        ...


class BoardWork(Protocol):
    """A unit of work that only reads."""

    @property
    def board(self) -> BoardStore: ...

    @property
    def orders(self) -> OrderStore: ...

    @property
    def access(self) -> AccessStore: ...
