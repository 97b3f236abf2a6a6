"""Celery with ``acks_late``: commit, then ``delay()``; four forks, one call of the MES each."""

import asyncio
import os
import sys
import time
from typing import Any

import psycopg
from celery import Celery
from celery.signals import worker_process_init, worker_ready

from orderkeep.bench.pipelines.lines import Setup, serve, told

FORKS = 4
_SETUP = "ORDERKEEP_BENCH_SETUP"

app = Celery("orders")
if _SETUP in os.environ:
    app.conf.update(
        broker_url=Setup.read(os.environ[_SETUP]).amqp,
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue="celery_orders",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
    )
_mes: dict[str, Any] = {}


@worker_process_init.connect
def _open(**_: object) -> None:
    setup = Setup.read(os.environ[_SETUP])
    _mes["work_s"] = setup.work_ms / 1000
    _mes["connection"] = psycopg.connect(setup.mes, autocommit=True)


@worker_ready.connect
def _ready(**_: object) -> None:
    print("ready", flush=True)


@app.task
def deliver(ref: str) -> None:
    """Have the MES make it."""
    if _mes["work_s"]:
        time.sleep(_mes["work_s"])
    _mes["connection"].execute("INSERT INTO made (ref) VALUES (%s)", (ref,))


async def api(setup: Setup) -> None:
    """Commit the order, hand it to Celery, answer."""
    from orderkeep.bench.pipelines.shop import BODY, KEEP, orders_at

    pool = await orders_at(setup.orders)

    async def accept(ref: str) -> str:
        await pool.execute(KEEP, ref, BODY)
        deliver.delay(ref)
        return ref

    await serve(setup.port, accept)


if __name__ == "__main__":
    half, given = told()
    if _SETUP not in os.environ:  # The forks, and whoever imports this by its name, need it too.
        os.environ[_SETUP] = given.said()
        again = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606  # Our own command.
    if half == "api":
        import uvloop

        uvloop.install()
        asyncio.run(api(given))
    else:
        from orderkeep.bench.pipelines.celery_peer import app as named

        flags = ["--pool", "prefork", "--concurrency", str(FORKS), "--loglevel", "ERROR"]
        lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        named.worker_main(["worker", *flags, *lean])
