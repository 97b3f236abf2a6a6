"""What Prometheus reads: a process's numbers as text, and a place to read them without an office.

An office tells them at its own port. A relay, bridge, quoter or watch in a process of its own
listens nowhere, and nobody would see what it carries: ``MetricsApp`` tells it at a port of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from orderkeep.delivery.tally import STALE, BrokerBooks, Counting, lost
from orderkeep.observe.numbers import Family, Numbers

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_CLASSES = ("published", "handled", "parked", "waiting", "under_way")
_BOOKS = (
    "published", "confirmed", "returned", "dropped", "delivered", "acked", "redelivered",
)  # fmt: skip


class Linked(Protocol):
    """A transport that tells of its connections; see ``http.office.parts.Carried``."""

    def state(self) -> Mapping[str, Any]: ...

    def drift(self) -> list[str]: ...


class MetricsApp:
    """The ASGI application: ``/metrics``, and nothing else."""

    def __init__(self, numbers: Numbers, carried: Linked, counting: Counting) -> None:
        self._numbers = numbers
        self._carried = carried
        self._counting = counting

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        known = scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}
        text = await asyncio.to_thread(self._told) if known else b"/metrics is all there is\n"
        headers = [
            (b"content-type", TEXT.encode()),
            (b"content-length", str(len(text)).encode()),
        ]
        status = 200 if known else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def _told(self) -> bytes:
        return exposed([*connections(self._carried), *flows(self._counting)], self._numbers)


class _Now:
    """What is read when somebody asks."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposed(families: Iterable[Metric], numbers: Numbers) -> bytes:
    """What was read just now, and what all processes of one parent together have counted."""
    fresh = CollectorRegistry()
    fresh.register(_Now([*(_metric(family) for family in numbers.everybody()), *families]))
    return generate_latest(fresh)


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.help, family.kind)
    for number in family.numbers:
        metric.add_sample(number.name, number.labels, number.value)
    return metric


def flows(counting: Counting | None) -> list[Metric]:
    """Of the newest envelopes: what became of each, by consumer; and what does not add up.

    A count that is old is told as old and as nothing else: an alert must not live on what was.
    """
    if counting is None or counting.last is None or (age := counting.age()) is None:
        return []
    old = "Age of the newest count of envelopes"
    told = [_one("orderkeep_flow_age_seconds", old, age.total_seconds())]
    if age > STALE:
        return told
    what = "Differences between our rows and the broker's books"
    unexplained = _one("orderkeep_flow_differences", what, len(counting.differences))
    return [*told, *_consumers(counting), unexplained, _books(counting.broker)]


def _consumers(counting: Counting) -> Iterator[Metric]:
    """What became of each consumer's envelopes, which are late, and how many are lost at least."""
    flow = _by_consumer("orderkeep_flow_envelopes", "The newest envelopes by class", "class")
    late = _by_consumer(
        "orderkeep_flow_overdue", "Confirmed two minutes ago or more, and in no inbox"
    )
    gone = _by_consumer("orderkeep_flow_lost", "Of these at least, neither here nor at the broker")
    for one in counting.last.flows if counting.last else ():
        for name in _CLASSES:
            flow.add_metric([one.consumer, name], getattr(one, name))
        late.add_metric([one.consumer], one.late)
        if counting.broker is not None:
            gone.add_metric([one.consumer], lost(one, counting.broker))
    yield from (flow, late, gone)


def _books(books: BrokerBooks | None) -> Metric:
    told = GaugeMetricFamily(
        "orderkeep_broker_messages", "The broker's own counters since it started", labels=["what"]
    )
    if books is not None:
        for name in _BOOKS:
            told.add_metric([name], getattr(books, name))
        told.add_metric(["held"], sum(books.held.values()) + books.unrouted)
    return told


def _one(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _by_consumer(name: str, help_: str, *others: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, labels=["consumer", *others])


def connections(carried: Linked | None) -> Iterator[Metric]:
    """Whether the broker can be reached."""
    if carried is None or not (links := carried.state()):
        return  # Without a broker there is none, and who does not open one has none.
    up = GaugeMetricFamily(
        "orderkeep_broker_connected", "Whether a connection is there", labels=["link"]
    )
    blocked = GaugeMetricFamily(
        "orderkeep_broker_blocked", "Whether the broker takes nothing", labels=["link"]
    )
    for name, state in links.items():
        up.add_metric([name], float(state.connected_since is not None))
        blocked.add_metric([name], float(state.blocked))
    what = "Things at the broker that are not as they were declared"
    drift = GaugeMetricFamily("orderkeep_broker_drift", what, value=len(carried.drift()))
    yield from (up, blocked, drift)
