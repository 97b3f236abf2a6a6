"""The transport without a broker: envelopes go from table to table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn, Protocol

import structlog

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore, Tried
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

NOBODY = "nobody"
"""Where envelopes are put aside that have no receiver: dead letters from the beginning."""
UNROUTED = "nobody takes this kind"

BEFORE_RECEIVE = failpoint("transport.before_receive", "handed over, in no inbox")
AFTER_RECEIVE = failpoint("transport.after_receive", "in every inbox, the relay does not know it")

log = structlog.get_logger()


class EmbeddedWork(Protocol):
    """A unit of work on the inbox."""

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


class EmbeddedTransport:
    """Carries envelopes into the inboxes of their consumers, all in one commit."""

    def __init__(
        self, store: Store[EmbeddedWork], routes: Mapping[str, Sequence[str]], clock: Clock
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self.traffic = Traffic()

    def state(self) -> Mapping[str, NoReturn]:
        """There is no connection that could be lost."""
        return {}

    def drift(self) -> list[str]:
        """There is nothing that could have been changed."""
        return []

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; a kind without a route is put aside as a dead letter, and shown.

        Left where it was it would be the first of its order for ever, and stop all behind it.
        """
        now = self._clock.now()
        unrouted = [envelope for envelope in envelopes if envelope.kind not in self._routes]

        def receive(work: EmbeddedWork) -> dict[str, int]:
            new = {}
            for consumer, theirs in self._by_consumer(envelopes).items():
                new[consumer] = work.inbox.receive(consumer, theirs, now)
                work.wake(f"inbox:{consumer}")
            put_aside(work, unrouted, now)
            return new

        reach(BEFORE_RECEIVE)
        new = await self._store.write(receive)
        reach(AFTER_RECEIVE)
        self._count(envelopes, new, now)
        for envelope in unrouted:
            log.error(
                "envelope.parked",
                envelope_id=envelope.id,
                kind=envelope.kind,
                order_id=envelope.order_key,
                reason=UNROUTED,
            )
        return [Tried(carried=True)] * len(envelopes)

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
