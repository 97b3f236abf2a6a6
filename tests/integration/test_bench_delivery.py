"""The benchmarks of delivery from end to end: what is lost, never how quick anything is."""

import asyncio
from typing import Any

import asyncpg

from orderkeep.bench.comparison import EMBEDDED, NAIVE, PGQUEUER, RABBITMQ
from orderkeep.bench.delivery import Running, delivery
from orderkeep.bench.faults import faults
from orderkeep.bench.pipelines.lines import Setup
from orderkeep.bench.pipelines.processes import Clients, Left
from orderkeep.bench.pipelines.shop import MADE, MAKE

KILLED = "consumer kill -9 x3"


def test_ours_is_measured_and_a_missing_peer_is_named() -> None:
    report = delivery(
        rounds=1,
        orders=40,
        per_s=40.0,
        only=(EMBEDDED, PGQUEUER),
        peers="/nonexistent/python",
        paced_s=0.5,
    )

    [line] = report.lines
    found = line.figures
    assert line.pipeline == EMBEDDED
    assert (found.errors, found.lost, found.doubled) == (0, 0, 0)
    assert min(found.accepted_per_s, found.delivered_per_s, found.delivery_p50_ms) > 0
    assert report.left_out.keys() == {PGQUEUER}


def test_a_killed_consumer_costs_naive_orders_and_ours_none() -> None:
    report = faults(
        orders=300, per_s=300.0, only=(NAIVE, RABBITMQ), struck=(KILLED,), first_after_s=0.3
    )

    naive, ours = (
        next(one for one in report.outcomes if one.pipeline == name) for name in (NAIVE, RABBITMQ)
    )
    assert naive.lost > 0
    assert naive.lost == naive.lost_silently
    assert ours.kept > 300  # Orders go on coming for as long as processes are killed.
    assert (ours.errors, ours.lost, ours.doubled) == (0, 0, 0)
    assert report.kept_promise


class LateMes:
    """A MES to which the last order comes after somebody has looked once."""

    def __init__(self, connection: Any, last: str) -> None:
        self._connection = connection
        self._last = last
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetchrow(self, *asked: Any) -> Any:
        self._looks += 1
        if self._looks == 2:
            await self._connection.execute(MAKE, self._last)
        return await self._connection.fetchrow(*asked)


def test_an_order_that_does_not_count_stands_for_none_that_was_promised(
    runner: asyncio.Runner, postgres_url: str
) -> None:
    """The one that asks whether a pipeline is up is in the MES's table as well."""

    async def made() -> dict[str, float]:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(MADE)
        await connection.executemany(MAKE, [("is it up?",), ("soon",)])
        promised = [Left(0.0, 0.0, name) for name in ("soon", "late")]
        mes, setup = LateMes(connection, "late"), Setup(0, orders="", mes=postgres_url, amqp="")
        found = await Running({}, Clients(0, promised), mes, setup).all_made()
        await connection.close()
        return found

    assert runner.run(made()).keys() == {"is it up?", "soon", "late"}
