"""The transport without a broker: envelopes go from table to table."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store

AFTER_RECEIVE = failpoint("transport.after_receive", "in every inbox, the relay does not know it")


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

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[bool]:
        """Carry envelopes; a kind without a route stays in the outbox and is shown there."""
        now = self._clock.now()

        def receive(work: EmbeddedWork) -> None:
            for consumer, theirs in self._by_consumer(envelopes).items():
                work.inbox.receive(consumer, theirs, now)
                work.wake(f"inbox:{consumer}")

        await self._store.write(receive)
        reach(AFTER_RECEIVE)
        return [envelope.kind in self._routes for envelope in envelopes]

    def _by_consumer(self, envelopes: Sequence[Envelope]) -> dict[str, list[Envelope]]:
        sorted_out: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            for consumer in self._routes.get(envelope.kind, ()):
                sorted_out.setdefault(consumer, []).append(envelope)
        return sorted_out
