"""What a process without an office tells of itself, and to which questions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from orderkeep.delivery.ports import Carried
from orderkeep.delivery.tally import Between, BrokerBooks, Counting, Flow, Tally
from orderkeep.http.scraped import MetricsApp
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.observe.numbers import Numbers
from orderkeep.observe.traffic import Passed, Traffic
from orderkeep.testing.clock import TestClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATE = Carried(1, EnvelopeId("e-1"), "priced", "OK-000001", NOON)
FLOW = Flow(
    "bridge", published=10, handled=3, parked=1, waiting=1, under_way=5, late=5, owed=5,
    overdue=[LATE],
)  # fmt: skip
BOOKS = BrokerBooks(
    published=12, dropped=0, held={"bridge": 2}, unrouted=1, counted=Between(NOON, NOON)
)


class Line:
    """A transport with one connection."""

    def state(self) -> dict[str, Any]:
        return {"publish": SimpleNamespace(connected_since=None, blocked=True)}

    def drift(self) -> list[str]:
        return ["a queue is not there"]


class Tables:
    """A store that is asked for a count."""

    async def read_long(self, query: Callable[[Any], Tally]) -> Tally:
        return query(None)


async def app(clock: TestClock) -> MetricsApp:
    traffic, numbers = Traffic(), Numbers()
    traffic.count(Passed.CONFIRMED, "priced", 3)
    numbers.add(traffic.families)
    counting = Counting(Tables(), lambda *_: Tally(10, 0, [FLOW]), lambda: BOOKS, clock)
    await counting.step()
    return MetricsApp(numbers, Line(), counting)


async def ask(method: str, path: str, after: timedelta = timedelta(0)) -> httpx.Response:
    clock = TestClock(NOON)
    transport = httpx.ASGITransport(app=await app(clock))
    clock.advance(after)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        return await client.request(method, path)


async def test_counts_flows_the_brokers_books_and_connections_are_told() -> None:
    told = (await ask("GET", "/metrics")).text.splitlines()

    for line in (
        'orderkeep_envelopes_total{place="priced",what="confirmed"} 3.0',
        'orderkeep_flow_envelopes{class="under_way",consumer="bridge"} 5.0',
        'orderkeep_flow_overdue{consumer="bridge"} 5.0',
        'orderkeep_flow_lost{consumer="bridge"} 2.0',
        "orderkeep_flow_differences 1.0",
        "orderkeep_flow_age_seconds 0.0",
        'orderkeep_broker_messages{what="held"} 3.0',
        'orderkeep_broker_connected{link="publish"} 0.0',
        'orderkeep_broker_blocked{link="publish"} 1.0',
        "orderkeep_broker_drift 1.0",
    ):
        assert line in told


async def test_a_count_that_nobody_renews_is_told_as_old_and_as_nothing_else() -> None:
    told = (await ask("GET", "/metrics", after=timedelta(minutes=4))).text

    assert "orderkeep_flow_age_seconds 240.0" in told
    assert "orderkeep_flow_overdue" not in told
    assert "orderkeep_broker_messages" not in told


@pytest.mark.parametrize("method, path", [("POST", "/metrics"), ("GET", "/"), ("GET", "/readyz")])
async def test_nothing_else_is_answered(method: str, path: str) -> None:
    assert (await ask(method, path)).status_code == 404
