"""What goes over the wire to a MES that calls nothing by another name, and what comes back.

The adapter writes and reads by the names in its settings; a test holds it to these shapes.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from orderkeep.orders.order import Position

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class MesOrder(msgspec.Struct, frozen=True):
    """A work order, as the MES is asked to make it; ``external_id`` is our reference."""

    external_id: str
    order_no: str
    positions: list[Position]
    body_sha256: str
    promise_at: Instant | None = None


class MesJobShown(msgspec.Struct, frozen=True):
    """A job, as the MES answers; ``ref`` is our reference, ``status`` its own word."""

    id: str
    ref: str
    status: str | None = None


class MesPage(msgspec.Struct, frozen=True):
    """Jobs found by a look-up, a listing or a question for changes."""

    items: list[MesJobShown]
    next: str | None = None
