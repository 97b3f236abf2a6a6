"""PostgreSQL killed, restarted, paused, out of reach, full; SQLite's disk full."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from orderkeep.testing.matrix.acts import run_sql
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.power import disk, postgres_on
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.wire import Line, Wire
from orderkeep.testing.matrix.works import Works, wait_for
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import prepare

AWAY_S = 15.0
"""Longer than the proof that somebody is gone takes."""
FULL_S = 6.0
MANY = 200
"""Orders that would come in while nobody can be given a receipt."""
SMALL_MIB, SMALL_POSTGRES_MIB = 24, 160


def cells() -> Iterator[Cell]:
    """What happens to a database server, and to a disk."""
    for fault, harm in HARMS.items():
        yield Cell(SCALED_OUT, "postgresql", fault, partial(harmed, harm=harm))
    for line in (Line.SILENT, Line.DEAF, Line.CUT):
        fault = f"partition: {line.value} {AWAY_S:.0f} s"
        yield Cell(SCALED_OUT, "postgresql", fault, partial(partitioned, line=line))
    yield Cell(EMBEDDED, "disk", "full", sqlite_disk_full)
    yield Cell(SCALED_OUT, "disk", "full under postgresql", postgres_disk_full)


# --- the server ---------------------------------------------------------------------------------


def kill(server: PostgresServer, _works: Works) -> None:
    """Every process of the server at once."""
    server.kill()
    server.start()


def restart(server: PostgresServer, _works: Works) -> None:
    """In an orderly way."""
    server.restart()


def pause(server: PostgresServer, _works: Works) -> None:
    """Every process of the server is stopped for a while."""
    server.pause()
    try:
        time.sleep(AWAY_S)
    finally:
        server.resume()


def cut_connections(_server: PostgresServer, works: Works) -> None:
    """Whoever is connected is sent away, again and again."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    for _ in range(10):
        run_sql(works.product, f"{others} AND datname = current_database()")
        time.sleep(works.chance.random())


def lock_tables(_server: PostgresServer, works: Works) -> None:
    """Somebody else holds the orders and the outbox."""
    run_sql(
        works.product,
        "BEGIN; LOCK TABLE orders, outbox, deliveries; SELECT pg_sleep(8); COMMIT",
    )


def one_backend_dies(server: PostgresServer, _works: Works) -> None:
    """One backend is killed: the server ends all others and recovers."""
    for pid in server.backends()[-1:]:
        with suppress(ProcessLookupError):
            subprocess.run(["/bin/kill", "-9", str(pid)], check=False)


HARMS: Mapping[str, Callable[[PostgresServer, Works], None]] = {
    "kill -9": kill,
    "restart": restart,
    f"SIGSTOP {AWAY_S:.0f} s": pause,
    "connections cut": cut_connections,
    "one backend killed": one_backend_dies,
    "tables locked 8 s": lock_tables,
}


def harmed(scene: Scene, harm: Callable[[PostgresServer, Works], None]) -> Verdict:
    """Do it while orders come in."""
    with scene.works() as works:
        return works.amid_orders(partial(harm, scene.servers.postgres, works))


def partitioned(scene: Scene, line: Line) -> Verdict:
    """The line between every process and the server is not what it was, for a while."""
    with scene.servers.database() as url, Wire(urlsplit(url).port or 0) as wire:
        through = url.replace(f":{urlsplit(url).port}/", f":{wire.port}/")
        with scene.works(settings={"database_url": through}) as works:
            return works.amid_orders(partial(wire.be_for, AWAY_S, line))


# --- the disk -----------------------------------------------------------------------------------


def sqlite_disk_full(scene: Scene) -> Verdict:
    """The disk of the database is full for a while."""
    with (
        disk(scene, scene.folder / "product", SMALL_MIB),
        scene.works() as works,
        works.clients() as clients,
    ):
        works.begin()
        clients.more()
        _be_full(scene.folder / "product", clients)
        return works.verdict(clients)


def postgres_disk_full(scene: Scene) -> Verdict:
    """The disk of the server is full for a while; whoever runs it starts it again if it gave up."""
    with postgres_on(scene, SMALL_POSTGRES_MIB, **_SMALL) as (own, server):
        url = server.database(name="orders")
        keys = prepare(scene.folder, url)
        with (
            scene.works(keys=keys, settings={"database_url": url}) as works,
            works.clients() as clients,
        ):
            works.begin()
            clients.more()
            _be_full(own.place, clients)
            if server.dead:
                server.start()
            return works.verdict(clients)


_SMALL = {"max_wal_size": "32MB", "min_wal_size": "32MB"}


def _be_full(place: Path, clients: Clients) -> None:
    """Leave no room until an order is refused, and for some seconds more."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    clients.let_come(MANY)
    wait_for(lambda: clients.turned_away > 0, "a full disk refuses nobody")
    time.sleep(FULL_S)
    filler.unlink()
