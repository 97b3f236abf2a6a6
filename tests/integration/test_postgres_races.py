"""Several processes on one PostgreSQL: nothing twice, nothing skipped, nothing overtaken."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise

import asyncpg
import pytest

from orderkeep.adapters.sql.postgres import store as postgres_store
from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, Submissions, add_partner
from orderkeep.bridge.tray import TrayState, Unknown
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import EnvelopeId, order_no
from orderkeep.orders.policy import Policy
from orderkeep.testing.rivals import NOON, NOTES, TWINS

PROCESSES = 2
DEADLINE_S = 120.0
RUSHING = 2000
"""Orders at once: more than the commits under way can take."""
FREE = (
    "UPDATE orders SET is_claimable = true, stage = 'MANUFACTURING_APPROVED', due_at = stage_since"
)


@pytest.fixture
def store(postgres_url: str, runner: asyncio.Runner) -> Iterator[PgStore]:
    opened = runner.run(postgres_store.open_store(postgres_url, Bells()))
    runner.run(opened.write(add_partner))
    yield opened
    runner.run(opened.close())


def race(task: str, url: str) -> list[list[list[str]]]:
    """What each of the processes said, fact by fact; they start together."""
    command = [sys.executable, "-m", "orderkeep.testing.rivals", task, url]
    rivals = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    said = [rival.communicate(timeout=DEADLINE_S)[0] for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0] * PROCESSES
    return [[line.split() for line in lines.splitlines()] for lines in said]


async def accepted(store: PgStore, count: int) -> None:
    lane, fresh = store.accepting(Policy()), Submissions()
    await asyncio.gather(*[lane.accept(fresh.next()) for _ in range(count)])


def column(work: SqlWork, query: str) -> list[object]:
    return [row[0] for row in work.raw.execute(query).fetchall()]


async def test_a_rush_at_one_door_is_heard_of_elsewhere_and_ends(
    store: PgStore, postgres_url: str
) -> None:
    other = await postgres_store.open_store(postgres_url, Bells())
    try:
        for one in (store, other):
            await one.telling.listening.wait()
        heard = asyncio.create_task(_is(other, rushed=True))
        while not heard.done():
            await accepted(store, RUSHING)
        await _is(other, rushed=False)
        await accepted(store, 1)
        await _is(store, rushed=False)
    finally:
        await other.close()


async def _is(store: PgStore, *, rushed: bool) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while store.in_a_rush is not rushed:  # noqa: ASYNC110  # Nothing rings when it begins.
            await asyncio.sleep(0)


async def test_twins_sent_to_two_processes_become_one_order(
    store: PgStore, postgres_url: str
) -> None:
    said = await asyncio.to_thread(race, "accepts_twins", postgres_url)

    known: defaultdict[str, set[str]] = defaultdict(set)
    fresh = 0
    for ref, no, replayed in (fact for facts in said for fact in facts):
        known[ref].add(no)
        fresh += replayed == "False"
    assert {len(numbers) for numbers in known.values()} == {1}
    assert fresh == TWINS
    assert await store.read(lambda work: column(work, "SELECT n FROM orders ORDER BY n")) == list(
        range(1, TWINS + 1)
    )
    assert await store.read(lambda work: column(work, "SELECT value FROM counters")) == [TWINS] * 2
    for table in ("events", "submissions", "idempotency", "outbox"):
        counted = partial(column, query=f"SELECT count(*) FROM {table}")
        assert await store.read(counted) == [TWINS]


async def test_twins_in_two_commits_of_one_process_become_one_order(store: PgStore) -> None:
    lane, fresh = store.accepting(Policy()), Submissions()
    submissions = [fresh.next() for _ in range(300)]

    said = await asyncio.gather(*[lane.accept(one) for one in (*submissions, *submissions)])

    assert [one.order_no for one in said[:300]] == [one.order_no for one in said[300:]]
    assert sum(one.replayed for one in said) == 300
    assert await store.read(lambda work: column(work, "SELECT n FROM orders ORDER BY n")) == list(
        range(1, 301)
    )


async def test_operators_of_two_processes_never_get_the_same_order(
    store: PgStore, postgres_url: str
) -> None:
    await accepted(store, 200)
    await store.write(lambda work: work.raw.execute(FREE) and None)

    said = await asyncio.to_thread(race, "claims", postgres_url)

    taken = [no for facts in said for (no,) in facts]
    assert sorted(taken) == [order_no(n) for n in range(1, 201)]
    versions = await store.read(lambda work: column(work, "SELECT DISTINCT version FROM orders"))
    assert versions == [2]


async def test_relays_of_two_processes_never_send_twice_nor_let_one_overtake(
    store: PgStore, postgres_url: str
) -> None:
    posted = [
        Envelope(EnvelopeId(f"{key:03}-{i:03}"), "k", 1, f"key-{key}", NOON, "0" * 32, b"{}")
        for key in range(20)
        for i in range(8)
    ]
    await store.write(lambda work: work.outbox.post(posted))

    said = await asyncio.to_thread(race, "relays", postgres_url)

    facts = [fact for one in said for fact in one]
    assert len({envelope for _, envelope, *_ in facts}) == len(facts)
    assert {token for _, _, token, *_ in facts} == {"1"}
    by_key: defaultdict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for key, envelope, _, leased, sent in facts:
        by_key[key].append((envelope, int(leased), int(sent)))
    for travelled in by_key.values():
        assert all(sent < leased for (_, _, sent), (_, leased, _) in pairwise(sorted(travelled)))
    # A relay that found nothing free has left the rest to those who held it.
    assert (
        await store.write(lambda work: work.outbox.lease(NOON, NOON + timedelta(minutes=1), 10))
        == []
    )
    assert len(facts) == len(posted)


async def test_an_envelope_handled_by_two_processes_has_one_effect(
    store: PgStore, postgres_url: str
) -> None:
    arrived = [
        Envelope(EnvelopeId(f"{key:03}-{i}"), "k", 1, f"key-{key}", NOON, "0" * 32, b"{}")
        for key in range(60)
        for i in range(3)
    ]
    await store.write(lambda work: work.inbox.receive("quoting", arrived, NOON))

    await asyncio.to_thread(race, "handles", postgres_url)

    effects = await store.read(lambda work: column(work, "SELECT subject FROM audit ORDER BY row"))
    assert sorted(str(one) for one in effects) == [envelope.id for envelope in arrived]
    left = await store.read(lambda work: work.inbox.due("quoting", NOON, 10))
    assert list(left) == []


async def test_commands_of_two_processes_for_one_order_follow_each_other(
    store: PgStore, postgres_url: str
) -> None:
    await accepted(store, 1)

    said = await asyncio.to_thread(race, "notes", postgres_url)

    versions = sorted(int(version) for facts in said for (version,) in facts)
    assert versions == list(range(2, PROCESSES * NOTES + 2))
    history = await store.read(lambda work: work.orders.history(order_no(1)))
    assert [one.seq for one in history] == list(range(1, PROCESSES * NOTES + 2))


async def test_a_feed_never_passes_over_an_event_that_is_committed_late(
    store: PgStore, postgres_url: str
) -> None:
    await accepted(store, 2)
    before = await positions(store)
    slow, quick = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    note = (
        "INSERT INTO events (order_n, seq, partner_id, kind, schema_version, stage, at, actor_kind,"
        " actor_id, command, source, trace_id, data) SELECT $1, 2, partner_id, kind, 1, stage, at,"
        " actor_kind, actor_id, command, source, trace_id, data FROM events WHERE order_n = $1"
    )
    try:
        late = slow.transaction()
        await late.start()
        await slow.execute(note, 1)
        await quick.execute(note, 2)

        meanwhile = await positions(store)
        await late.commit()
        afterwards = await positions(store)
    finally:
        await slow.close()
        await quick.close()

    assert meanwhile == before
    assert len(afterwards) == len(before) + 2


async def positions(store: PgStore) -> Sequence[int]:
    kinds = ("order.submitted",)
    page, _ = await store.read(lambda work: work.tracking.events_of(PARTNER, 0, 100, kinds))
    return [one.position for one in page]


async def test_only_what_may_be_forgotten_does_not_wait_for_the_disk(store: PgStore) -> None:
    def asked(work: SqlWork) -> list[object]:
        return column(work, "SELECT current_setting('synchronous_commit')")

    assert await store.behind.write_in_passing(asked) == ["off"]
    assert await store.behind.write(asked) == ["on"]
    assert await store.write(asked) == ["on"]


async def test_what_is_opened_again_just_now_is_not_forgotten(
    store: PgStore, postgres_url: str
) -> None:
    """Whoever forgets has read it as settled, and comes to delete it when it is open."""
    unknown = Unknown("crm", "unknown-command", b"{}", "c-1")
    await store.write(lambda work: work.tray.keep(unknown, NOON))
    other = await asyncpg.connect(postgres_url)
    await other.execute("UPDATE unknown_messages SET state = 'aside', handled_at = $1", NOON)
    opens = other.transaction()
    await opens.start()
    await other.execute("UPDATE unknown_messages SET state = 'open'")

    later = NOON + timedelta(days=1)
    forgets = asyncio.create_task(store.write(lambda work: work.tray.forget(later, 10)))
    await until_somebody_waits(postgres_url)
    await opens.commit()

    assert await forgets == 0
    assert await store.read(lambda work: work.tray.counts()) == {TrayState.OPEN: 1}
    await other.close()


async def until_somebody_waits(url: str) -> None:
    """Until a process waits for a row that another holds."""
    waits = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    looks = await asyncpg.connect(url)
    async with asyncio.timeout(DEADLINE_S):
        while await looks.fetchval(waits) is None:
            pass
    await looks.close()
