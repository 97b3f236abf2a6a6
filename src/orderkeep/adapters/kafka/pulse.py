"""Whether a cluster answers, as one client sees it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException

from orderkeep.adapters.kafka import TESTED, TOPIC
from orderkeep.kernel.clock import Clock

_ONE_COPY = f"Topic {TOPIC} has one copy of some partition: a lost disk loses what is in it."

log = structlog.get_logger()


class KafkaState(msgspec.Struct, frozen=True):
    """What can be seen of a client; ``tested`` says how far this transport is to be trusted."""

    connected_since: datetime | None
    blocked: bool
    attempts: int
    """Probes since the cluster last answered."""
    last_error: str | None
    tested: str = TESTED


class Pulse:
    """Kept by one client's thread, read by all; ``up`` is called when the cluster is back."""

    def __init__(self, name: str, clock: Clock, up: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._clock = clock
        self._up = up
        self._since: datetime | None = None
        self._attempts = 0
        self._last_error: str | None = None
        self.drift: list[str] = []
        """What is not as it should be at the cluster, in sentences."""

    @property
    def is_up(self) -> bool:
        """Whether the cluster answered when it was last asked."""
        return self._since is not None

    @property
    def state(self) -> KafkaState:
        """How it is just now."""
        return KafkaState(self._since, False, self._attempts, self._last_error)

    def lost(self, why: str) -> None:
        """It does not answer."""
        if self._since is not None or self._last_error != why:
            log.warning("broker.away", link=self._name, reason=why, attempt=self._attempts)
        self._since, self._last_error = None, why

    def heard(self, error: KafkaError) -> None:
        """Trouble that the library tells of; only that nobody answers at all is ours."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # Its public name.
            self.lost(error.str())

    def probe(self, list_topics: Callable[..., Any], seconds: float) -> bool:
        """Ask which partitions our topic has; returns whether all is well."""
        self._attempts += 1
        try:
            found = list_topics(TOPIC, timeout=seconds)
        except KafkaException as failure:
            self.lost(said(failure))
            return False
        # A ClusterMetadata, which the library does not let be named.
        topic = found.topics[TOPIC]
        if topic.error is not None:
            self.lost(f"topic {TOPIC}: {topic.error.str()}")
            return False
        self._beat(min((len(one.replicas) for one in topic.partitions.values()), default=0))
        return True

    def _beat(self, copies: int) -> None:
        if self._since is None:
            self.drift = [_ONE_COPY] if copies < 2 else []
            for what in self.drift:
                log.warning("broker.drifted", what=what)
            log.info("broker.connected", link=self._name, attempt=self._attempts, tested=TESTED)
            self._since, self._attempts = self._clock.now(), 0
            self._up()


def said(failure: KafkaException) -> str:
    """A failure in a few words."""
    error = failure.args[0] if failure.args else None
    return error.str() if isinstance(error, KafkaError) else str(failure)
