"""How we are: for machines that watch us."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from litestar import Response, get
from prometheus_client.core import (
    GaugeMetricFamily,
    Metric,
)

from orderkeep.http.office.alert_pages import put_aside
from orderkeep.http.office.gate import PUBLIC
from orderkeep.http.office.parts import Office, OfficeDep
from orderkeep.http.scraped import TEXT, connections, exposed, flows
from orderkeep.ledger.balance import Class
from orderkeep.observe.numbers import GAUGE, Family, Number

NAMED = 1000
"""Open differences that are counted for the metrics."""


@get("/healthz", opt={PUBLIC: True}, sync_to_thread=False)
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@get("/readyz", opt={PUBLIC: True})
async def readyz(office: OfficeDep) -> Response[dict[str, Any]]:
    if office.settings.leaving():
        return Response({"status": "failed", "why": "Leaving"}, status_code=503)
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
    dead = await office.store.read(lambda work: work.dead_letters.waiting())
    unowned = await _unowned_since(office) if dead else None
    aside = await office.store.read(lambda work: put_aside(work, now))
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
            "orderkeep_inbox_oldest_seconds",
            "Age of the oldest envelope kept and not yet handled",
            backlog.oldest_unhandled_s,
        ),
        _gauge(
            "orderkeep_envelopes_unrouted",
            "Envelopes put aside because nobody takes their kind",
            backlog.unrouted,
        ),
        *_dead_letters(dead),
        _gauge(
            "orderkeep_dead_letters_unowned_oldest_seconds",
            "How long a dead letter has waited whose group has no owner",
            (now - unowned).total_seconds() if unowned else 0.0,
        ),
        _put_aside(*aside),
        _gauge("orderkeep_orders_accepted", "Order numbers given out", backlog.orders),
        *_store(office),
        *connections(office.carried),
        *await _balance(office, now),
        *flows(office.counting),
    ]
    text = await asyncio.to_thread(exposed, families, office.numbers)
    return Response(text, media_type=TEXT)


def own_numbers(office: Office) -> Iterator[Family]:
    """What this process has counted."""
    for metric in office.metrics.registry.collect():
        numbers = [
            Number(one.name, dict(one.labels), one.value)
            for one in metric.samples
            if not one.name.endswith("_created")  # An instant: there is no sum of two.
        ]
        yield Family(metric.name, metric.documentation, metric.type, numbers)
    open_ = Number("orderkeep_streams", {}, office.stream.clients)
    yield Family("orderkeep_streams", "Open board streams", GAUGE, [open_])
    if office.carried is not None:
        yield from office.carried.traffic.families()


def _dead_letters(waiting: Mapping[str, int]) -> list[Metric]:
    """How many wait for somebody, by who could not take them; what is parked waits for nobody."""
    family = GaugeMetricFamily(
        "orderkeep_dead_letters", "Dead letters that nobody has parked", labels=["consumer"]
    )
    for consumer, count in sorted(waiting.items()):
        family.add_metric([consumer], count)
    return [family]


async def _unowned_since(office: Office) -> datetime | None:
    # It looks at each letter, of which there may be very many.
    return await office.store.read_long(lambda work: work.dead_letters.unowned_since())


def _put_aside(letters: int, work_orders: int) -> Metric:
    """What an alert is raised on: it rises at once, and falls by itself an hour later."""
    family = GaugeMetricFamily(
        "orderkeep_quarantined_recently", "Put aside within the last hour", labels=["what"]
    )
    family.add_metric(["letters"], letters)
    family.add_metric(["work_orders"], work_orders)
    return family


def _by_stage(stages: dict[str, int]) -> list[Metric]:
    family = GaugeMetricFamily("orderkeep_orders", "Orders by stage", labels=["stage"])
    for stage, count in stages.items():
        family.add_metric([stage], count)
    return [family]


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


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
        _gauge(
            "orderkeep_balance_received_not_yet",
            "Messages that came and became no order",
            run.received_not_yet,
        ),
        _gauge(
            "orderkeep_balance_not_understood",
            "Of these, what waits for a person under Not understood",
            run.not_understood,
        ),
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
