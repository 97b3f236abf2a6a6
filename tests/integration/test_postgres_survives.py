"""The store on PostgreSQL and the worst: killed backends, a killed server, a lost commit."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import asyncpg
import msgspec
import pytest

from orderkeep.adapters.sql.connections import StoreMisconfigured
from orderkeep.adapters.sql.hot_sqlite.board_rows import read_rows
from orderkeep.adapters.sql.migrate import SchemaBehind
from orderkeep.adapters.sql.postgres import link
from orderkeep.adapters.sql.postgres.migrate import migrate
from orderkeep.adapters.sql.postgres.store import PgStore, open_store
from orderkeep.adapters.sql.version import HEAD
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions, add_partner
from orderkeep.intake.ports import Acceptance, Submission
from orderkeep.kernel import failpoints
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy
from orderkeep.kernel.ids import order_no
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow
from orderkeep.testing.postgres_server import PostgresServer

HEALS_WITHIN_S = 60.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, because it will be killed."""
    with PostgresServer() as started:
        yield started


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A database on the test's own server, if it has one to kill, or on the one all tests share."""
    if "server" not in request.fixturenames:
        return str(request.getfixturevalue("postgres_url"))
    address: str = request.getfixturevalue("server").database()
    asyncio.run(migrate(address))
    return address


@pytest.fixture
def store(url: str, runner: asyncio.Runner) -> Iterator[PgStore]:
    opened = runner.run(open_store(url, Bells()))
    runner.run(opened.write(add_partner))
    yield opened
    runner.run(opened.close())


@pytest.fixture
def at_failpoint() -> Iterator[Callable[[str, Callable[[], None]], None]]:
    """Do something once, when a failpoint is reached."""

    def install(name: str, act: Callable[[], None]) -> None:
        def handler(reached: str) -> None:
            if reached == name:
                failpoints.install(None)
                act()

        failpoints.install(handler)

    yield install
    failpoints.install(None)


def nobody_elses() -> Submission:
    """A submission that no other process sends."""
    return msgspec.structs.replace(Submissions().next(), key="ours", client_ref="ours")


_names = count(1)


def another() -> Submission:
    """One more of those."""
    name = f"ours-{next(_names)}"
    return msgspec.structs.replace(Submissions().next(), key=name, client_ref=name)


async def until_kept(store: PgStore, submission: Submission) -> Acceptance:
    """What a client does: the same key again, until there is a receipt."""
    lane = store.accepting(Policy())
    async with asyncio.timeout(HEALS_WITHIN_S):
        while True:
            with suppress(StoreBusy, CommitOutcomeUnknown):
                return await lane.accept(submission)
            await asyncio.sleep(0.05)


async def kept(store: PgStore) -> dict[str, list[Any]]:
    """Orders by table, once the server answers again."""
    queries = {
        "orders": "SELECT n FROM orders ORDER BY n",
        "events": "SELECT order_n FROM events WHERE seq = 1 ORDER BY 1",
        "submissions": "SELECT order_n FROM submissions ORDER BY 1",
        "idempotency": "SELECT order_n FROM idempotency ORDER BY 1",
    }

    def look(work: SqlWork) -> dict[str, list[Any]]:
        return {
            name: [row[0] for row in work.raw.execute(query).fetchall()]
            for name, query in queries.items()
        }

    async with asyncio.timeout(HEALS_WITHIN_S):
        while True:
            with suppress(StoreBusy):
                return await store.read(look)
            await asyncio.sleep(0.05)


def accepting_for_ever(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "orderkeep.testing.rivals", "accepts_for_ever", url]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.readline()
    child.stdin.write("go\n")
    child.stdin.flush()
    return child


# --- power ----------------------------------------------------------------------------------------


async def test_every_receipt_survives_the_death_of_the_whole_server(
    server: PostgresServer, url: str, store: PgStore
) -> None:
    child = accepting_for_ever(url)
    assert child.stdout is not None
    receipts = [child.stdout.readline().strip() for _ in range(2000)]

    server.kill()
    rest, _ = child.communicate(timeout=120)
    server.start()

    receipts += [line for line in rest.split("\n")[:-1] if line]
    found = await kept(store)
    assert set(receipts) - {order_no(n) for n in found["orders"]} == set()
    assert found["orders"] == list(range(1, len(found["orders"]) + 1))
    assert found["events"] == found["submissions"] == found["idempotency"] == found["orders"]


async def test_every_receipt_survives_the_death_of_the_accepting_process(
    url: str, store: PgStore
) -> None:
    child = accepting_for_ever(url)
    assert child.stdout is not None
    receipts = [child.stdout.readline().strip() for _ in range(2000)]

    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate(timeout=120)

    receipts += [line for line in rest.split("\n")[:-1] if line]
    # The next order waits until the server has undone what the dead process had begun.
    last = await store.accepting(Policy()).accept(nobody_elses())
    assert not last.replayed
    found = await kept(store)
    assert {*receipts, last.order_no} - {order_no(n) for n in found["orders"]} == set()
    assert found["orders"] == list(range(1, len(found["orders"]) + 1))


async def test_clients_that_repeat_get_every_order_once_while_backends_are_killed(
    server: PostgresServer, url: str, store: PgStore
) -> None:
    fresh = Submissions()
    submissions = [fresh.next() for _ in range(400)]
    killing = asyncio.create_task(kill_backends(server, url))

    receipts: list[Acceptance] = []
    for start in range(0, len(submissions), 16):
        batch = submissions[start : start + 16]
        receipts += await asyncio.gather(*[until_kept(store, one) for one in batch])
    killing.cancel()

    assert len({one.order_no for one in receipts}) == len(submissions)
    found = await kept(store)
    assert found["orders"] == list(range(1, len(submissions) + 1))


async def kill_backends(server: PostgresServer, url: str) -> None:
    """End a session of the store with -9 now and then: the server restarts all of them."""
    for _ in range(3):
        with suppress(OSError, asyncpg.PostgresError):
            observer = await asyncpg.connect(url)
            pids = await observer.fetch(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'orderkeep %'"
            )
            observer.terminate()
            os.kill(next(record[0] for record in pids), signal.SIGKILL)
        await asyncio.sleep(0.4)


async def test_an_accepting_process_that_stands_still_stops_nobody(
    url: str, store: PgStore
) -> None:
    child = accepting_for_ever(url)
    assert child.stdout is not None
    receipts = [child.stdout.readline().strip() for _ in range(500)]
    kept_meanwhile = []
    for _ in range(20):
        os.kill(child.pid, signal.SIGSTOP)
        # At whatever line it stands, it holds no lock: asked once, and no "busy" is allowed.
        kept_meanwhile.append(await store.accepting(Policy()).accept(another()))
        assert not await store.read(somebody_idles_with_a_lock)
        os.kill(child.pid, signal.SIGCONT)
        receipts.append(child.stdout.readline().strip())

    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate(timeout=120)
    receipts += [line for line in rest.split("\n")[:-1] if line]
    found = await kept(store)
    ours = {one.order_no for one in kept_meanwhile}
    assert {*receipts, *ours} - {order_no(n) for n in found["orders"]} == set()
    assert ours & set(receipts) == set()
    assert found["orders"] == list(range(1, len(found["orders"]) + 1))


async def test_a_unit_that_stands_still_stops_the_others_for_a_while_only(
    url: str, store: PgStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "IDLE_TIMEOUT", timedelta(seconds=2))
    engine = link.engine_for(url, "orderkeep stands still")
    still = await link.open_link(engine)
    await still.bare.execute("BEGIN")
    await still.bare.execute("UPDATE counters SET value = value + 1 WHERE name = 'orders'")

    kept_meanwhile = await until_kept(store, nobody_elses())

    assert kept_meanwhile.order_no == order_no(1)
    still.drop()
    await still.connection.close()
    await engine.dispose()


def somebody_idles_with_a_lock(work: SqlWork) -> bool:
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        " AND datname = current_database() AND backend_xid IS NOT NULL"
    )
    return bool(work.raw.execute(asked).fetchone()[0])


# --- the commit -----------------------------------------------------------------------------------


async def test_a_server_lost_in_the_commit_leaves_the_outcome_open(
    server: PostgresServer,
    store: PgStore,
    at_failpoint: Callable[[str, Callable[[], None]], None],
) -> None:
    submission = Submissions().next()
    at_failpoint("accept.before_commit", server.kill)

    with pytest.raises(CommitOutcomeUnknown):
        await store.accepting(Policy()).accept(submission)

    assert store.health()["failing"] == 1
    server.start()
    assert (await until_kept(store, submission)).order_no == order_no(1)
    assert store.health()["failing"] == 0


async def test_units_whose_shared_commit_is_there_are_not_run_again_whatever_fails_then(
    store: PgStore, at_failpoint: Callable[[str, Callable[[], None]], None]
) -> None:
    """Run again alone they would find their own changes, and take them for somebody else's.

    A bridge's intents were: three work orders stayed *sending* until it was started again.
    """
    runs: list[int] = []
    at_failpoint("store.after_commit", _fail)

    def unit(n: int) -> Callable[[SqlWork], None]:
        return lambda _: runs.append(n)

    several = [store.behind.write(unit(n)) for n in range(3)]
    told = await asyncio.gather(*several, return_exceptions=True)

    assert [type(one) for one in told] == [CommitOutcomeUnknown] * 3
    assert runs == [0, 1, 2]


def _fail() -> None:
    raise RuntimeError("something of ours, once it was kept")


async def test_a_server_lost_before_the_commit_has_surely_done_nothing(
    server: PostgresServer, store: PgStore
) -> None:
    def loses_the_server(work: SqlWork) -> None:
        work.orders.next_no()
        if server._process is not None:
            server.kill()
        work.orders.next_no()

    with pytest.raises(StoreBusy):
        await store.write(loses_the_server)

    server.start()
    async with asyncio.timeout(HEALS_WITHIN_S):
        taken = None
        while taken is None:
            with suppress(StoreBusy):
                taken = await store.write(lambda work: work.orders.next_no())
    assert taken == order_no(1)


async def test_a_unit_that_hides_a_failed_statement_is_not_told_that_it_is_kept(
    store: PgStore,
) -> None:
    def hides_it(work: SqlWork) -> None:
        work.orders.next_no()
        with suppress(asyncpg.PostgresError):
            work.raw.execute("SELECT 1 / 0")

    with pytest.raises(StoreBusy):
        await store.write(hides_it)

    assert await store.write(lambda work: work.orders.next_no()) == order_no(1)


async def test_sessions_that_were_cut_while_they_idled_cost_nobody_an_error(
    server: PostgresServer, store: PgStore
) -> None:
    await asyncio.gather(*[store.read(lambda work: work.counters) for _ in range(20)])

    server.restart()

    assert await store.write(lambda work: work.orders.next_no()) == order_no(1)


async def test_work_whose_caller_has_gone_is_done_all_the_same(store: PgStore) -> None:
    task = asyncio.ensure_future(store.write(lambda work: work.orders.next_no()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    # It holds the counter until its commit, so whoever comes next is second.
    assert await store.write(lambda work: work.orders.next_no()) == order_no(2)


def given(work: SqlWork) -> int:
    return int(work.raw.execute("SELECT value FROM counters WHERE name = 'orders'").fetchone()[0])


async def test_a_server_that_hangs_is_as_good_as_gone(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", 1.0)
    hurried = await open_store(url, Bells())
    await hurried.read(given)
    stopped = [server.pid, *server.backends()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreBusy):
            await hurried.write(lambda work: work.orders.next_no())
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await hurried.close()


async def test_a_full_queue_is_refused_at_once(
    store: PgStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderkeep.adapters.sql.postgres.groups.QUEUE_BOUND", 3)
    lane, fresh = store.accepting(Policy()), Submissions()

    outcomes = await asyncio.gather(
        *[lane.accept(fresh.next()) for _ in range(50)], return_exceptions=True
    )

    assert any(isinstance(outcome, StoreBusy) for outcome in outcomes)
    assert (await lane.accept(fresh.next())).order_no


async def test_closing_finishes_what_waits(url: str) -> None:
    store = await open_store(url, Bells())
    await store.write(add_partner)
    lane, fresh = store.accepting(Policy()), Submissions()
    waiting = [asyncio.ensure_future(lane.accept(fresh.next())) for _ in range(100)]
    await asyncio.sleep(0)

    await store.close()

    assert len({one.order_no for one in await asyncio.gather(*waiting)}) == 100
    with pytest.raises(StoreBusy):
        await lane.accept(fresh.next())
    with pytest.raises(StoreBusy):
        await store.write(given)


# --- telling --------------------------------------------------------------------------------------


async def test_another_process_hears_of_a_commit(url: str, store: PgStore) -> None:
    bells, seen = Bells(), asyncio.Queue[Sequence[BoardRow]]()
    async with await open_store(url, bells) as other:
        other.on_changes(seen.put_nowait)
        await asyncio.wait_for(other.telling.listening.wait(), HEALS_WITHIN_S)

        accepted = await store.accepting(Policy()).accept(Submissions().next())

        async with asyncio.timeout(HEALS_WITHIN_S):
            await bells.wait("relay", timeout_s=2 * HEALS_WITHIN_S)
            [row] = await seen.get()
    assert row.order_no == accepted.order_no


async def test_listening_comes_back_after_it_was_cut(url: str, store: PgStore) -> None:
    bells = Bells()
    async with await open_store(url, bells) as other:
        await asyncio.wait_for(other.telling.listening.wait(), HEALS_WITHIN_S)
        other.telling.listening.clear()
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '% listens'"
        )
        await store.read(lambda work: work.raw.execute(cut))
        await asyncio.wait_for(other.telling.listening.wait(), HEALS_WITHIN_S)
        await asyncio.wait_for(store.telling.listening.wait(), HEALS_WITHIN_S)

        async with asyncio.timeout(HEALS_WITHIN_S):
            rung = asyncio.create_task(bells.wait("something", timeout_s=2 * HEALS_WITHIN_S))
            while not rung.done():
                await store.write(lambda work: work.wake("something"))
                await asyncio.wait([rung], timeout=0.2)


# --- telling --------------------------------------------------------------------------------------


def not_shown(store: PgStore) -> None:
    """Whoever watches the board fails at every change."""

    def fails(_: Sequence[BoardRow]) -> None:
        raise RuntimeError("a watcher's fault")

    store.on_changes(fails)


class Mute:
    """Tells nobody, and fails."""

    def __init__(self, telling: Any) -> None:
        self._telling = telling

    def __getattr__(self, name: str) -> Any:
        return getattr(self._telling, name)

    def tell(self, *_: object) -> None:
        raise RuntimeError("the fault of what tells")


def not_told(store: PgStore) -> None:
    """Other processes cannot be told."""
    told: Any = store
    told.telling = Mute(store.telling)


@pytest.mark.parametrize("prepare", [not_shown, not_told])
async def test_what_is_committed_is_done_whoever_cannot_be_told(
    store: PgStore, prepare: Callable[[PgStore], None]
) -> None:
    """Taken for the units' failure they would be done twice, one by one, and reported as failed."""
    lane, seen = store.accepting(Policy()), list[BoardRow]()
    prepare(store)
    store.on_changes(seen.extend)

    accepted = await asyncio.gather(*[lane.accept(another()) for _ in range(5)])
    await asyncio.gather(*[store.write_later(changing) for _ in range(5)])
    await store.write(changing)
    await store.behind.write_loose(changing)

    assert not any(one.replayed for one in accepted)
    assert (await kept(store))["orders"] == list(range(1, 6))
    assert await store.read(changes) == 7
    assert seen


def changing(work: SqlWork) -> None:
    work.counters.add("changed", 1)
    row = read_rows(work, [1])
    work.board_rows += row
    work.wake("changed")


def changes(work: SqlWork) -> int:
    found = work.raw.execute("SELECT value FROM counters WHERE name = 'changed'").fetchone()
    return int(found[0])


# --- opening --------------------------------------------------------------------------------------


async def test_health_shows_what_keeps_a_receipt_true(store: PgStore) -> None:
    shown = store.health()

    assert (shown["synchronous_commit"], shown["fsync"], shown["full_page_writes"]) == (
        "on",
        "on",
        "on",
    )


async def test_processes_that_migrate_at_once_do_it_once(server: PostgresServer) -> None:
    url = await asyncio.to_thread(server.database)

    assert await asyncio.gather(*[migrate(url) for _ in range(4)]) == [HEAD] * 4


async def test_a_database_that_was_not_migrated_is_refused(server: PostgresServer) -> None:
    url = await asyncio.to_thread(server.database)

    with pytest.raises(SchemaBehind, match="orderkeep migrate"):
        await open_store(url, Bells())


async def test_a_server_that_can_lose_a_commit_is_refused(server: PostgresServer, url: str) -> None:
    server.settings["full_page_writes"] = "off"
    await asyncio.to_thread(server.restart)

    with pytest.raises(StoreMisconfigured, match="full_page_writes=off"):
        await open_store(url, Bells())


async def test_a_server_that_is_away_is_busy(server: PostgresServer, url: str) -> None:
    await asyncio.to_thread(server.stop)

    with pytest.raises(StoreBusy):
        await open_store(url, Bells())
