"""How we are: for machines that watch us."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from litestar import Response, get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from orderkeep.delivery.dead_letters import MOST, Letter
from orderkeep.http.office.gate import PUBLIC
from orderkeep.http.office.parts import Carried, Office, OfficeDep
from orderkeep.ledger.balance import Class

NAMED = 1000
"""Open differences that are counted for the metrics."""

_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class _Now:
    """What is read when somebody asks."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


@get("/healthz", opt={PUBLIC: True}, sync_to_thread=False)
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@get("/readyz", opt={PUBLIC: True})
async def readyz(office: OfficeDep) -> Response[dict[str, Any]]:
    try:
        version = await office.store.read(lambda work: work.board.version())
        store = dict(office.store.health())
    except Exception as error:  # noqa: BLE001  # whatever it is, we cannot read: not ready
        return Response({"status": "failed", "why": type(error).__name__}, status_code=503)
    if why := _unfit(store):
        return Response({"status": "failed", "why": why}, status_code=503)
    facts = {
        "status": "ready",
        "time": office.clock.now(),
        "store": store,
        "last_event": version,
        "mes": office.settings.mes,
        "streams": office.stream.clients,
    }
    if office.carried is not None and office.carried.state():
        # A broker that is away delays orders; nobody need be sent elsewhere because of it.
        facts["broker"] = office.carried.state()
        facts["broker_drift"] = office.carried.drift()
    return Response(facts, headers={"cache-control": "no-store"})


def _unfit(store: Mapping[str, Any]) -> str | None:
    """Why nothing can be kept now; who can only be read from is not ready."""
    if not store.get("in_place", True):
        return "DatabaseGone"
    return "DiskFailing" if store.get("failing") else None


@get("/metrics", opt={PUBLIC: True})
async def metrics(office: OfficeDep) -> Response[bytes]:
    now = office.clock.now()
    backlog = await office.store.read(lambda work: work.board.backlog(now))
    dead = await office.store.read_long(lambda work: work.dead_letters.letters(MOST))
    families = [
        *_by_stage(backlog.stages),
        _gauge("orderkeep_outbox_unsent", "Envelopes not yet carried", backlog.unsent),
        _gauge(
            "orderkeep_outbox_oldest_seconds",
            "Age of the oldest envelope not yet carried",
            backlog.oldest_unsent_s,
        ),
        _gauge("orderkeep_inbox_unhandled", "Envelopes kept, not yet handled", backlog.unhandled),
        _gauge(
            "orderkeep_envelopes_unrouted",
            "Envelopes put aside because nobody takes their kind",
            backlog.unrouted,
        ),
        *_dead_letters(dead),
        _gauge("orderkeep_orders_accepted", "Order numbers given out", backlog.orders),
        _gauge("orderkeep_streams", "Open board streams", office.stream.clients),
        *_store(office),
        *_carried(office),
        *await _balance(office, now),
        *_counted(office),
    ]
    fresh = CollectorRegistry()
    fresh.register(_Now(families))
    text = await asyncio.to_thread(_text, office.metrics.registry, fresh)
    return Response(text, media_type=_METRICS)


def _text(*registries: CollectorRegistry) -> bytes:
    return b"".join(generate_latest(registry) for registry in registries)


def _dead_letters(letters: Sequence[Letter]) -> list[Metric]:
    """How many wait for somebody, by who could not take them; what is parked waits for nobody."""
    family = GaugeMetricFamily(
        "orderkeep_dead_letters", "Dead letters that nobody has parked", labels=["consumer"]
    )
    waiting = Counter(one.consumer for one in letters if not one.parked)
    for consumer, count in sorted(waiting.items()):
        family.add_metric([consumer], count)
    return [family]


def _by_stage(stages: dict[str, int]) -> list[Metric]:
    family = GaugeMetricFamily("orderkeep_orders", "Orders by stage", labels=["stage"])
    for stage, count in stages.items():
        family.add_metric([stage], count)
    return [family]


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _carried(office: Office) -> list[Metric]:
    """What was carried since the start and how long it took; whether the broker can be reached."""
    if office.carried is None:
        return []
    envelopes = CounterMetricFamily(
        "orderkeep_envelopes", "Envelopes by what happened to them", labels=["what", "place"]
    )
    for what, place, number in office.carried.traffic.rows():
        envelopes.add_metric([what, place], number)
    hops = HistogramMetricFamily(
        "orderkeep_hop_seconds", "How long envelopes took, hop by hop", labels=["hop", "kind"]
    )
    for hop, kind, times in office.carried.traffic.times():
        hops.add_metric([hop, kind], list(times.up_to()), times.sum_s)
    return [envelopes, hops, *_connections(office.carried)]


def _counted(office: Office) -> list[Metric]:
    """Of the newest envelopes: what became of each, by consumer; and what does not add up."""
    if office.counting is None or office.counting.last is None:
        return []
    flow = GaugeMetricFamily(
        "orderkeep_flow_envelopes", "The newest envelopes by class", labels=["consumer", "class"]
    )
    for one in office.counting.last.flows:
        for name in ("published", "handled", "parked", "waiting", "under_way"):
            flow.add_metric([one.consumer, name], getattr(one, name))
    what = "Differences between our rows and the broker's books"
    return [flow, _gauge("orderkeep_flow_differences", what, len(office.counting.differences))]


def _connections(carried: Carried) -> Iterator[Metric]:
    if not (links := carried.state()):
        return  # Without a broker there is none.
    up = GaugeMetricFamily(
        "orderkeep_broker_connected", "Whether a connection is there", labels=["link"]
    )
    blocked = GaugeMetricFamily(
        "orderkeep_broker_blocked", "Whether the broker takes nothing", labels=["link"]
    )
    for name, state in links.items():
        up.add_metric([name], float(state.connected_since is not None))
        blocked.add_metric([name], float(state.blocked))
    drifted = len(carried.drift())
    what = "Things at the broker that are not as they were declared"
    yield from (up, blocked, _gauge("orderkeep_broker_drift", what, drifted))


async def _balance(office: Office, now: datetime) -> list[Metric]:
    """The newest balance and how old it is: a balance that is not kept any more has to alert."""
    if office.ledger is None:
        return []
    run, open_ = await office.store.read(
        lambda work: (work.balances.last(), work.balances.open(NAMED))
    )
    if run is None:
        return []
    classes = GaugeMetricFamily(
        "orderkeep_balance_orders", "Accepted orders by class of the balance", labels=["class"]
    )
    for name in Class:
        classes.add_metric([name], getattr(run.sums, name))
    differing = GaugeMetricFamily(
        "orderkeep_balance_differences", "Open differences", labels=["system", "kind"]
    )
    for (system, kind), count in Counter((one.system, one.kind) for one in open_).items():
        differing.add_metric([system, kind], count)
    oldest = max((now - one.since for one in open_ if one.since), default=timedelta(0))
    return [
        classes,
        differing,
        _gauge("orderkeep_balance_accepted", "Accepted orders", run.sums.accepted),
        _gauge("orderkeep_balance_unaccounted", "Accepted orders in no class", run.unaccounted),
        _gauge(
            "orderkeep_balance_oldest_difference_seconds",
            "Age of the oldest open difference",
            oldest.total_seconds(),
        ),
        _gauge(
            "orderkeep_balance_age_seconds",
            "Age of the newest balance",
            (now - run.at).total_seconds(),
        ),
        _gauge("orderkeep_balance_took_seconds", "How long it took", run.took_ms / 1000),
    ]


def _store(office: Office) -> list[Metric]:
    """Whatever the store tells of itself in numbers."""
    return [
        _gauge(f"orderkeep_store_{name}", f"The store's {name.replace('_', ' ')}", float(value))
        for name, value in office.store.health().items()
        if isinstance(value, int | float)
    ]


HANDLERS = (healthz, readyz, metrics)
