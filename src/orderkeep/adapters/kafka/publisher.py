"""Publishes envelopes; only the confirm of every in-sync replica counts as carried."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Event, Thread
from time import monotonic

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orderkeep.adapters.kafka import TOPIC
from orderkeep.adapters.kafka.address import Timing, producing
from orderkeep.adapters.kafka.message import headers
from orderkeep.adapters.kafka.pulse import Pulse, said
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.delivery.relay import TransportAway
from orderkeep.kernel.clock import Clock
from orderkeep.observe.traffic import Hop, Passed, Traffic

Answer = asyncio.Future[KafkaError | None]
_GONE = KafkaError(KafkaError._DESTROY)  # noqa: SLF001  # Its public name.
NOT_TRIED = Tried(carried=False)
_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)

log = structlog.get_logger()


class Publisher:
    """An idempotent producer with its thread, from ``open`` to ``close``."""

    def __init__(
        self, url: str, clock: Clock, traffic: Traffic, timing: Timing, pulse: Pulse
    ) -> None:
        self._settings = producing(url, timing)
        self._clock = clock
        self._traffic = traffic
        self._timing = timing
        self._rest = timedelta(seconds=timing.refused)
        self.pulse = pulse
        self._producer: Producer | None = None
        self._waiting: set[Answer] = set()
        self._stop = Event()
        self._thread: Thread | None = None

    def open(self) -> None:
        """Begin; the cluster need not be there."""
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._run, name="kafka.publish", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End; what is not confirmed by now is not carried."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._timing.close)

    # --- the producer's thread ------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._live_once()
            except KafkaException as failure:  # Of a producer that had a fatal error.
                self.pulse.lost(said(failure))
            self._loop.call_soon_threadsafe(self._give_up)
            self._stop.wait(self._timing.look)

    def _live_once(self) -> None:
        """From one producer to the next: a fatal error ends it, and nothing is repaired."""
        broken = Event()

        def trouble(error: KafkaError) -> None:
            self.pulse.heard(error)
            if error.fatal():
                self.pulse.lost(error.str())
                broken.set()

        producer = Producer({**self._settings, "error_cb": trouble})
        self._producer, asked_s = producer, -self._timing.pause
        while not broken.is_set() and not self._stop.is_set():
            producer.poll(self._timing.look)
            if not self.pulse.is_up and monotonic() - asked_s >= self._timing.pause:
                asked_s = monotonic()
                self.pulse.probe(producer.list_topics, self._timing.probe)
        self._producer = None
        producer.purge()
        producer.flush(self._timing.look)

    def _give_up(self) -> None:
        """The producer is gone: whoever waits for an answer of its gets none."""
        for answered in list(self._waiting):
            _tell(answered, _GONE)

    # --- publishing -----------------------------------------------------------------------------

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; true is what all in-sync replicas have.

        Those of one order key go one after the other: if one is not carried, none behind it is
        even sent. Repeats are possible, and the inbox drops them.

        Raises:
            TransportAway: the cluster does not answer.
        """
        producer = self._producer
        if producer is None or not self.pulse.is_up:
            raise TransportAway("The cluster cannot be reached")
        tried = [NOT_TRIED] * len(envelopes)
        async with asyncio.TaskGroup() as group:
            for places in _by_order(envelopes).values():
                group.create_task(self._in_turn(producer, envelopes, places, tried))
        return tried

    async def _in_turn(
        self,
        producer: Producer,
        envelopes: Sequence[Envelope],
        places: Sequence[int],
        tried: list[Tried],
    ) -> None:
        for place in places:
            tried[place] = await self._one(producer, envelopes[place])
            if not tried[place]:
                return

    async def _one(self, producer: Producer, envelope: Envelope) -> Tried:
        began = self._clock.now()
        self._traffic.count(Passed.PUBLISHED, envelope.kind)
        error = await self._answer(producer, envelope)
        fate = _fate(error)
        ended = self._clock.now()
        self._traffic.count(fate, envelope.kind)
        self._traffic.took(Hop.PUBLISH, envelope.kind, (began - envelope.at).total_seconds())
        self._traffic.took(Hop.CONFIRM, envelope.kind, (ended - began).total_seconds())
        (log.info if fate is Passed.CONFIRMED else log.warning)(
            f"envelope.{fate}",
            envelope_id=envelope.id,
            kind=envelope.kind,
            order_id=envelope.order_key,
            trace_id=envelope.trace_id,
            duration_ms=round((ended - began).total_seconds() * 1000, 2),
            **({"reason": error.str()} if error else {}),
        )
        if fate is Passed.NACKED:
            return Tried(carried=False, answer=fate, began=began, ended=ended, rest=self._rest)
        return Tried(fate is Passed.CONFIRMED, fate, began, ended)

    async def _answer(self, producer: Producer, envelope: Envelope) -> KafkaError | None:
        """What the cluster says: None for a confirm. It comes before ``Timing.publish`` is over."""
        answered: Answer = self._loop.create_future()

        def report(error: KafkaError | None, _: Message) -> None:
            self._loop.call_soon_threadsafe(_tell, answered, error)

        try:
            producer.produce(
                TOPIC,
                value=envelope.body,
                key=envelope.order_key,
                headers=headers(envelope),
                on_delivery=report,
            )
        except BufferError:
            return KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001  # Its public name.
        except KafkaException as refused:
            found = refused.args[0]
            log.warning("envelope.refused", envelope_id=envelope.id, reason=said(refused))
            return found if isinstance(found, KafkaError) else KafkaError(KafkaError.UNKNOWN)
        self._waiting.add(answered)
        if self._producer is not producer:
            _tell(answered, _GONE)  # It went between our look and this.
        try:
            return await answered
        finally:
            self._waiting.discard(answered)


def _tell(answered: Answer, error: KafkaError | None) -> None:
    if not answered.done():
        answered.set_result(error)


def _fate(error: KafkaError | None) -> Passed:
    """What became of it; whatever is not a clear answer is ``UNCONFIRMED``."""
    if error is None:
        return Passed.CONFIRMED
    return Passed.NACKED if error.code() in _REFUSED else Passed.UNCONFIRMED


def _by_order(envelopes: Sequence[Envelope]) -> Mapping[str, list[int]]:
    """The places of each order key's envelopes, in their order."""
    places: dict[str, list[int]] = {}
    for place, envelope in enumerate(envelopes):
        places.setdefault(envelope.order_key, []).append(place)
    return places
