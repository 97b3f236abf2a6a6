"""The order master: load, decide, save, announce, in one unit of work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import StaleOrder
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import Ids, OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.announce import envelopes_for
from orderkeep.orders.commands import OrderCommand
from orderkeep.orders.events import Cause, OrderEvent, Recorded
from orderkeep.orders.evolve import evolve, rebuild
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.order import Order, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.ports import OrderWork
from orderkeep.orders.refusals import Context
from orderkeep.orders.view import board_row

BEFORE_APPEND = failpoint("order.before_append", "decided, nothing of it on disk")
AFTER_APPEND = failpoint("order.after_append", "events in the unit of work, commit not yet begun")


@dataclass(frozen=True, slots=True)
class Handled:
    """What a command led to: the order as it is now, and what happened; nothing if it was so."""

    order: Order
    recorded: Sequence[Recorded]
    envelopes: Sequence[Envelope]


Then = Callable[[Order], tuple[OrderCommand, Cause] | None]
"""What follows at once from an order as a command leaves it: another command, or nothing."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An order as it was read or written, and the trace it came with.

    Kept beyond its unit of work, if that has been committed: see ``OrderMaster.again``.
    """

    order: Order
    trace_id: str


class OrderMaster:
    """The only writer of orders. ``apply`` joins a unit of work; ``handle`` is one of its own."""

    def __init__(
        self,
        store: Store[OrderWork],
        clock: Clock,
        ids: Ids,
        policy: Policy,
        *,
        crm: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self.policy = policy
        self._crm = crm
        """Whether a CRM is told of what happens."""

    async def handle(
        self,
        no: OrderNo,
        command: OrderCommand,
        cause: Cause,
        expected_version: int | None = None,
    ) -> Handled:
        """Decide and save; returning means it is on disk and will be announced.

        Raises:
            OrderNotFound: there is no such order.
            TransitionRefused: not possible where the order is.
            StaleOrder: the order is not at ``expected_version`` any more.
        """
        now = self._clock.now()
        return await self._store.write(
            lambda work: self.apply(work, no, command, cause, now, expected_version)
        )

    def apply(  # A decision's whole context, spelled out.
        self,
        work: OrderWork,
        no: OrderNo,
        command: OrderCommand,
        cause: Cause,
        now: datetime,
        expected_version: int | None = None,
        then: Then | None = None,
    ) -> Handled:
        """The same inside a unit of work that does more; ``then`` is saved together with it."""
        loaded = self.load(work, no)
        if expected_version is not None and expected_version != loaded.order.version:
            raise StaleOrder("The order has changed since.", version=loaded.order.version)
        return self.apply_to(work, loaded, command, cause, now, then)

    def load(self, work: OrderWork, no: OrderNo) -> Loaded:
        """Read an order.

        Raises:
            OrderNotFound: there is no such order.
        """
        history = work.orders.history(no)
        return Loaded(rebuild(history), history[0].cause.trace_id)

    def again(self, work: OrderWork, loaded: Loaded) -> Loaded:
        """An order that an earlier unit has read or written, as it is now.

        A version's history never changes: whoever has it need not read it.
        """
        order = loaded.order
        return (
            loaded if work.orders.version(order.no) == order.version else self.load(work, order.no)
        )

    def apply_to(
        self,
        work: OrderWork,
        loaded: Loaded,
        command: OrderCommand,
        cause: Cause,
        now: datetime,
        then: Then | None = None,
    ) -> Handled:
        """``apply``, on an order that this unit of work has loaded."""
        order, trace_id = loaded.order, loaded.trace_id
        recorded, after = self._decide(order, command, cause, now, trace_id)
        if then is not None and (follows := then(after)) is not None:
            more, after = self._decide(after, *follows, now, trace_id)
            recorded += more
        return self._save(work, order, recorded, after, now)

    def _decide(
        self, order: Order, command: OrderCommand, cause: Cause, now: datetime, trace_id: str
    ) -> tuple[list[Recorded], Order]:
        if not cause.trace_id:  # Begun by ourselves: it belongs to the trace the order came with.
            cause = msgspec.structs.replace(cause, trace_id=trace_id)
        events = decide(order, command, Context(cause.actor, now, self.policy))
        return record_all(order, events, cause, now)

    def open(
        self,
        work: OrderWork,
        no: OrderNo,
        events: Sequence[OrderEvent],
        cause: Cause,
        now: datetime,
    ) -> Handled:
        """Begin an order under a number that this unit of work has taken."""
        recorded, order = record_all(None, events, cause, now, no=no)
        work.orders.open(recorded, board_row(order, self.policy, now))
        return self._announce(work, order, recorded)

    def record(
        self,
        work: OrderWork,
        order: Order,
        events: Sequence[OrderEvent],
        cause: Cause,
        now: datetime,
    ) -> Handled:
        """Save decided events after the order's last one, and what announces them."""
        recorded, after = record_all(order, events, cause, now)
        return self._save(work, order, recorded, after, now)

    def _save(
        self,
        work: OrderWork,
        order: Order,
        recorded: Sequence[Recorded],
        after: Order,
        now: datetime,
    ) -> Handled:
        if not recorded:
            return Handled(order, (), ())
        reach(BEFORE_APPEND)
        work.orders.append(order.version, recorded, board_row(after, self.policy, now))
        handled = self._announce(work, after, recorded)
        reach(AFTER_APPEND)
        return handled

    def _announce(self, work: OrderWork, order: Order, recorded: Sequence[Recorded]) -> Handled:
        envelopes = envelopes_for(order, recorded, self._ids, crm=self._crm)
        if envelopes:
            work.outbox.post(envelopes)
            work.wake("relay")
        return Handled(order, recorded, envelopes)


def record_all(
    order: Order | None,
    events: Sequence[OrderEvent],
    cause: Cause,
    now: datetime,
    *,
    no: OrderNo | None = None,
) -> tuple[list[Recorded], Order]:
    """Give events their place after the order's last one; returns them and the order they make."""
    recorded: list[Recorded] = []
    number = order.no if order else no
    if number is None:
        raise ValueError("a new order needs a number")
    seq = order.version if order else 0
    for event in events:
        seq += 1
        # The stage it leads to is part of the record, and known only after it has been applied.
        stage = evolve(order, Recorded(number, seq, now, Stage.INITIATED, cause, event)).stage
        recorded.append(Recorded(number, seq, now, stage, cause, event))
        order = evolve(order, recorded[-1])
    if order is None:
        raise ValueError("an order has at least one event")
    return recorded, order
