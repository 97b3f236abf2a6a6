"""What the bridge asks of the store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from orderkeep.bridge.crm import TellingStore
from orderkeep.bridge.destinations import DestinationStore
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.places import PlaceStore
from orderkeep.bridge.standing import Standing
from orderkeep.bridge.tray import TrayStore
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.errors import Conflict
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders.ports import OrderWork

MANY_WAIT = 10_000
"""More are not counted one by one each time somebody looks."""


class LeaseLost(Conflict):
    """Another holder has taken the work order since; ``facts["holder"]`` is who had it as read."""


class DeliveryStore(Protocol):
    """Work orders on their way to foreign systems."""

    def want(
        self, destination: str, reference: WorkOrderRef, order_no: OrderNo, now: datetime
    ) -> None:
        """Keep a new work order as pending and due; a known one is left as it is."""
        ...

    def get(self, destination: str, reference: str) -> Delivery | None:
        """One row, or None."""
        ...

    def due(self, destination: str, now: datetime, limit: int) -> Sequence[Delivery]:
        """Rows whose ``next_at`` has come and that nobody is sending, longest waiting first."""
        ...

    def take(self, row: Delivery, holder: str, now: datetime) -> Delivery:
        """Make ``holder`` the sender: state ``sending``, a greater token, one more attempt.

        Raises:
            LeaseLost: the row is not as it was read.
        """
        ...

    def change(self, row: Delivery, **columns: Any) -> Delivery:
        """Write columns of a row, if its token is still the one in ``row``.

        Raises:
            LeaseLost: it is not.
        """
        ...

    def pull_in(self, destination: str, now: datetime, farthest: datetime) -> int:
        """Make due at ``now`` what would be due only after ``farthest``; how many."""
        ...

    def standing(self, limit: int) -> Sequence[Standing]:
        """Work orders that wait for a person's decision, no more than ``limit``."""
        ...

    def waiting(self, destination: str) -> int:
        """How many have not left, counted up to ``MANY_WAIT``."""
        ...

    def holders(self, destination: str) -> set[str]:
        """Everybody who has a row in hand, or had when last seen."""
        ...

    def silent(
        self, destination: str, ours: str, before: datetime, limit: int
    ) -> Sequence[Delivery]:
        """What others than ``ours`` have been sending since before an instant; oldest first."""
        ...

    def abandon(self, destination: str, now: datetime, holder: str | None) -> int:
        """Make due what is being sent by a holder that is proven to send no more; how many.

        None means all holders: at start, when every earlier one is gone.
        """
        ...


class BridgeWork(OrderWork, Protocol):
    """A unit of work of the bridge."""

    @property
    def deliveries(self) -> DeliveryStore: ...

    @property
    def destinations(self) -> DestinationStore: ...

    @property
    def tellings(self) -> TellingStore: ...

    @property
    def tray(self) -> TrayStore: ...

    @property
    def places(self) -> PlaceStore: ...

    @property
    def inbox(self) -> InboxStore: ...
