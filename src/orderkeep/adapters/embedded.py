"""The transport without a broker: envelopes go from table to table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, Protocol

import structlog

from orderkeep.delivery import sentences as say
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore, Keeper, Tried
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

NOBODY = "nobody"
"""Where envelopes are put aside that have no receiver: dead letters from the beginning."""
UNROUTED = say.NOBODY_TAKES()

BEFORE_RECEIVE = failpoint("transport.before_receive", "handed over, in no inbox")
AFTER_RECEIVE = failpoint(
    "transport.after_receive", "in every inbox; the relay knows it if no broker is between"
)

log = structlog.get_logger()


class EmbeddedWork(Protocol):
    """A unit of work on the inbox."""

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


@dataclass(frozen=True, slots=True)
class Put:
    """What came of putting envelopes down, by consumer: how many were new, what was handled."""

    new: dict[str, int]
    taken: dict[str, Any]


class EmbeddedTransport:
    """Carries envelopes into the inboxes of their consumers, all in one commit."""

    def __init__(
        self, store: Store[EmbeddedWork], routes: Mapping[str, Sequence[str]], clock: Clock
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._keepers: Mapping[str, Keeper] = {}
        self.traffic = Traffic()

    def hand_over(self, keepers: Mapping[str, Keeper], *, alone: bool) -> None:
        """Have consumers' envelopes handled in the commit that carries them."""
        self._keepers = keepers

    def state(self) -> Mapping[str, NoReturn]:
        """There is no connection that could be lost."""
        return {}

    def drift(self) -> list[str]:
        """There is nothing that could have been changed."""
        return []

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes in a commit of their own; see ``put_down``."""
        now = self._clock.now()
        put_down = partial(self.put_down, envelopes=envelopes, now=now)
        try:
            put = await self._store.write(partial(put_down, handled=True))
        except (Unavailable, Uncertain):
            raise
        except Exception:  # noqa: BLE001  # Carried without it; who handles them finds out why.
            put = await self._store.write(partial(put_down, handled=False))
        self.told(envelopes, put, now)
        return [Tried(carried=True)] * len(envelopes)

    def put_down(
        self, work: EmbeddedWork, envelopes: Sequence[Envelope], now: datetime, *, handled: bool
    ) -> Put:
        """Carry envelopes in this unit of work; see ``delivery.ports.AtHome``.

        A kind without a route is put aside as a dead letter, and shown. Left where it was it would
        be the first of its order for ever, and stop all behind it.
        """
        reach(BEFORE_RECEIVE)
        put = Put({}, {})
        for consumer, theirs in self._by_consumer(envelopes).items():
            new = put.new[consumer] = work.inbox.receive(consumer, theirs, now)
            keeper = self._keepers.get(consumer) if handled and new else None
            if keeper is None:
                work.wake(f"inbox:{consumer}")
            else:
                put.taken[consumer] = keeper.take(work, theirs, now)
        put_aside(work, self._unrouted(envelopes), now)
        return put

    def told(self, envelopes: Sequence[Envelope], put: Put, now: datetime) -> None:
        """Count and tell what was put down, now that it is on disk."""
        reach(AFTER_RECEIVE)
        self._count(envelopes, put.new, now)
        for consumer, outcome in put.taken.items():
            self._keepers[consumer].taken(outcome)
        for envelope in self._unrouted(envelopes):
            log.error(
                "envelope.parked",
                envelope_id=envelope.id,
                kind=envelope.kind,
                order_id=envelope.order_key,
                reason=UNROUTED,
            )

    def _unrouted(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        return [envelope for envelope in envelopes if envelope.kind not in self._routes]

    def _count(self, envelopes: Sequence[Envelope], new: Mapping[str, int], now: datetime) -> None:
        for one in envelopes:
            self.traffic.count(Passed.PUBLISHED, one.kind)
            self.traffic.count(Passed.CONFIRMED, one.kind)
            self.traffic.took(Hop.RECEIVE, one.kind, (now - one.at).total_seconds())
            log.info(
                "envelope.carried",
                envelope_id=one.id,
                kind=one.kind,
                order_id=one.order_key,
                trace_id=one.trace_id,
            )
        for consumer, theirs in self._by_consumer(envelopes).items():
            self.traffic.count(Passed.DELIVERED, consumer, len(theirs))
            self.traffic.count(Passed.RECEIVED, consumer, new[consumer])
            self.traffic.count(Passed.DUPLICATES, consumer, len(theirs) - new[consumer])

    def _by_consumer(self, envelopes: Sequence[Envelope]) -> dict[str, list[Envelope]]:
        sorted_out: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            for consumer in self._routes.get(envelope.kind, ()):
                sorted_out.setdefault(consumer, []).append(envelope)
        return sorted_out


def put_aside(work: EmbeddedWork, unrouted: Sequence[Envelope], now: datetime) -> int:
    """Keep envelopes that nobody takes as dead letters; returns how many were new."""
    new = work.inbox.receive(NOBODY, unrouted, now)
    while waiting := work.inbox.due(NOBODY, now, len(unrouted)) if unrouted else ():
        for received in waiting:
            work.inbox.park(received.row, now, UNROUTED)
    return new
