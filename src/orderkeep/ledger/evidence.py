"""What the tables say about one order, side by side, before anything is believed."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.orders.events import Recorded
from orderkeep.orders.view import BoardRow


class Violation(msgspec.Struct, frozen=True):
    """A promise that does not hold; ``rule`` as in docs/guides/verify.md.

    ``order_no`` is None when no single order can be named.
    """

    rule: str
    order_no: str | None
    what: str


class Filed(msgspec.Struct, frozen=True):
    """An event with what its columns say of it beside its own content."""

    recorded: Recorded
    kind: str
    partner_id: str | None


class Way(msgspec.Struct, frozen=True):
    """A delivery row: a work order's way to the MES, as the bridge keeps it."""

    reference: str
    state: str
    due: bool
    """Somebody will look at it again: it has a next instant."""


class FloorJob(msgspec.Struct, frozen=True):
    """A work order on the built-in floor."""

    reference: str
    body_sha256: str
    positions: Sequence[Mapping[str, Any]]


class Case(msgspec.Struct, frozen=True):
    """All evidence about the n-th order.

    ``there``: its row exists, readable or not. ``unreadable`` has a sentence for everything stored
    that could not be read. ``body`` is the acknowledged submission. ``questions`` are the price
    versions that wait for the engine. ``travelling`` and ``parked`` are kinds of the order's
    envelopes that are on their way, or that were put aside as dead letters.
    """

    n: int
    there: bool = False
    row: BoardRow | None = None
    history: Sequence[Filed] = ()
    unreadable: Sequence[str] = ()
    body: bytes | None = None
    has_key: bool = True
    ways: Sequence[Way] = ()
    jobs: Sequence[FloorJob] = ()
    questions: frozenset[int] = frozenset()
    travelling: frozenset[str] = frozenset()
    parked: frozenset[str] = frozenset()

    @property
    def order_no(self) -> OrderNo:
        return order_no(self.n)


class Stored(msgspec.Struct, frozen=True):
    """What the files table says of a file id."""

    sha256: str
    size_bytes: int
