"""How we are: for machines that watch us."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from litestar import Response, get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orderkeep.http.office.gate import PUBLIC
from orderkeep.http.office.parts import Office, OfficeDep

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
    if office.carried is not None:
        # A broker that is away delays orders; nobody need be sent elsewhere because of it.
        facts["broker"] = office.carried.state()
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
        _gauge("orderkeep_orders_accepted", "Order numbers given out", backlog.orders),
        _gauge("orderkeep_streams", "Open board streams", office.stream.clients),
        *_store(office),
        *_carried(office),
    ]
    fresh = CollectorRegistry()
    fresh.register(_Now(families))
    text = await asyncio.to_thread(_text, office.metrics.registry, fresh)
    return Response(text, media_type=_METRICS)


def _text(*registries: CollectorRegistry) -> bytes:
    return b"".join(generate_latest(registry) for registry in registries)


def _by_stage(stages: dict[str, int]) -> list[Metric]:
    family = GaugeMetricFamily("orderkeep_orders", "Orders by stage", labels=["stage"])
    for stage, count in stages.items():
        family.add_metric([stage], count)
    return [family]


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _carried(office: Office) -> list[Metric]:
    """What went through the broker since the start, and whether it can be reached."""
    if office.carried is None:
        return []
    envelopes = CounterMetricFamily(
        "orderkeep_envelopes", "Envelopes at the broker, by what happened", labels=["what", "place"]
    )
    for what, place, number in office.carried.traffic.rows():
        envelopes.add_metric([what, place], number)
    up = GaugeMetricFamily(
        "orderkeep_broker_connected", "Whether a connection is there", labels=["link"]
    )
    blocked = GaugeMetricFamily(
        "orderkeep_broker_blocked", "Whether the broker takes nothing", labels=["link"]
    )
    for name, state in office.carried.state().items():
        up.add_metric([name], float(state.connected_since is not None))
        blocked.add_metric([name], float(state.blocked))
    return [envelopes, up, blocked]


def _store(office: Office) -> list[Metric]:
    """Whatever the store tells of itself in numbers."""
    return [
        _gauge(f"orderkeep_store_{name}", f"The store's {name.replace('_', ' ')}", float(value))
        for name, value in office.store.health().items()
        if isinstance(value, int | float)
    ]


HANDLERS = (healthz, readyz, metrics)
