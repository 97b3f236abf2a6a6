"""The same work by our own parts: accepted in full, carried, kept once, intended, made, settled.

No price and no lifecycle: peers have none. On SQLite one process does it all, elsewhere three: the
door, the relay, the bridge.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

import uvloop

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.adapters.sql.hot_sqlite.many import change_many, insert_many, look_up
from orderkeep.adapters.sql.instants import to_micros
from orderkeep.adapters.sql.opening import AnyStore, opened
from orderkeep.adapters.sql.store import SqliteStore
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import Submissions
from orderkeep.bench.pipelines.lines import Setup, serve, told, until_stopped
from orderkeep.bench.pipelines.shop import Mes, mes_at
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Keeper, Received
from orderkeep.delivery.relay import Relay
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import Clock, SystemClock
from orderkeep.kernel.collecting import collect_rarely
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.observe.logs import set_up_logs
from orderkeep.orders.announce import PRICE_WANTED
from orderkeep.orders.policy import Policy
from orderkeep.roles.loops import STEP_ASIDE_S, loop

CONSUMER = "bridge"
ROUTES = {PRICE_WANTED: (CONSUMER,)}
READ_AT_ONCE = 200


class OnSqlite:
    """The rows in one file: few statements, since each takes the interpreter's lock."""

    _KNOWN = (
        "SELECT reference FROM {asked} CROSS JOIN deliveries"
        " ON destination = 'mes' AND reference = column1"
    )
    _INTEND = (
        "INSERT INTO deliveries (destination, reference, order_n, state, since, holder, attempts,"
        " lease_token)"
    )
    _SETTLE = (
        "UPDATE deliveries SET state = 'confirmed', since = column2, holder = NULL FROM {asked}"
        " WHERE destination = 'mes' AND reference = column1"
    )
    _HANDLED = (
        "UPDATE inbox SET handled_at = column2 FROM {asked}"
        " WHERE row = column1 AND handled_at IS NULL"
    )

    def intend(self, work: SqlWork, names: Sequence[str], at: Any) -> set[str]:
        """Write down what is about to be sent; returns what was already."""
        known = {row[0] for row in look_up(work.raw, self._KNOWN, "(?)", [(one,) for one in names])}
        fresh = [(one, order_n(OrderNo(one)), at) for one in names if one not in known]
        insert_many(work.raw, self._INTEND, "('mes', ?, ?, 'sending', ?, 'bench', 1, 1)", fresh)
        return known

    def settle(self, work: SqlWork, rows: Sequence[Received], at: Any) -> None:
        """Write down what has been made."""
        named = [(row.envelope.order_key, at) for row in rows]
        change_many(work.raw, self._SETTLE, "(?, ?)", named)
        change_many(work.raw, self._HANDLED, "(?, ?)", [(row.row, at) for row in rows])


class OnPostgres:
    """The same on a server: few round trips."""

    _INTEND = """
        INSERT INTO deliveries (destination, reference, order_n, state, since, holder, attempts,
            lease_token)
        SELECT 'mes', name, n, 'sending', $1, 'bench', 1, 1
        FROM unnest($2::text[], $3::bigint[]) AS one (name, n)
        ON CONFLICT (destination, reference) DO NOTHING RETURNING reference
    """
    # Each finds one through the index of references: as a condition on the table it is, in a plan
    # made while the table is empty, a look at all there are of the MES.
    _SETTLE = """
        WITH settled AS (
            UPDATE deliveries SET state = 'confirmed', since = $1, holder = NULL
            WHERE row = ANY(ARRAY(
                SELECT found.row FROM unnest($2::text[]) AS made (name) CROSS JOIN LATERAL (
                    SELECT row, reference FROM deliveries
                    WHERE (destination, reference) >= ('mes', made.name)
                    ORDER BY destination, reference LIMIT 1
                ) found WHERE found.reference = made.name
            ))
        )
        UPDATE inbox SET handled_at = $1 WHERE row = ANY($3) AND handled_at IS NULL
    """

    def intend(self, work: Any, names: Sequence[str], at: Any) -> set[str]:
        """Write down what is about to be sent; returns what was already."""
        numbers = [order_n(OrderNo(name)) for name in names]
        fresh = work.pg.fetch(self._INTEND, at, list(names), numbers)
        return set(names) - {row[0] for row in fresh}

    def settle(self, work: Any, rows: Sequence[Received], at: Any) -> None:
        """Write down what has been made."""
        names = [row.envelope.order_key for row in rows]
        work.pg.fetch(self._SETTLE, at, names, [row.row for row in rows])


class Sender:
    """Brings what has arrived to the MES: the intent on disk, then the call, then the outcome.

    What is due is read once and shares a commit for its intents; what ended while the last outcomes
    were written shares the next one.
    """

    def __init__(self, store: AnyStore, mes: Mes, bells: Bells, clock: Clock, most: int) -> None:
        self._store = store
        self._rows = OnSqlite() if isinstance(store, SqliteStore) else OnPostgres()
        self._mes = mes
        self._bells = bells
        self._clock = clock
        self._most = most
        self._in_hand: set[int] = set()
        self._ended_since: set[int] = set()
        """What was done while somebody read what is due: what they read is out of date."""
        self._next: deque[Received] = deque()
        """Read, and not begun."""
        self._made: list[Received] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling = False
        self._more = False
        """Whether some may be due that nobody has read."""
        self._beginning = asyncio.Lock()
        """Held from reading what is due until it is in hand: none is begun twice."""

    async def step(self) -> int:
        """Begin what is due; what ends rings for the next."""
        async with self._beginning:
            free = self._most - len(self._in_hand)
            if not free:
                self._more = True
                return 0
            if not self._next:
                await self._look()
            fresh = [self._next.popleft() for _ in range(min(free, len(self._next)))]
            if not fresh:
                return 0
            known = await self._store.behind.write_loose(partial(self._intend, fresh))
            # What was taken where it was kept, while we read, is under way or done.
            begun = self._in_hand | self._ended_since
            self._begin([row for row in fresh if row.row not in begun], known)
            return len(fresh)

    async def keep(self, put_down: Callable[[SqlWork], int], envelopes: Sequence[Envelope]) -> int:
        """Have envelopes kept; where nothing waits, their intents are in the same commit."""
        async with self._beginning:
            if self._next or len(envelopes) > self._most - len(self._in_hand):
                return await self._store.behind.write_loose(partial(_put_down, put_down))
            unit = partial(self._keep, put_down, envelopes)
            new, fresh, known = await self._store.behind.write(unit)
            self._begin(fresh, known)
            return new

    def _keep(
        self, put_down: Callable[[SqlWork], int], envelopes: Sequence[Envelope], work: SqlWork
    ) -> tuple[int, Sequence[Received], set[str]]:
        new = put_down(work)
        return new, *self.take(work, envelopes, self._clock.now())

    def take(
        self, work: SqlWork, envelopes: Sequence[Envelope], now: datetime
    ) -> tuple[Sequence[Received], set[str]]:
        """Intend what this unit has kept, unless others wait."""
        ids, under_way = {one.id for one in envelopes}, len(self._in_hand)
        ours: list[Received] = []
        if not self._next and len(ids) <= self._most - under_way:
            rows = work.inbox.due(CONSUMER, now, len(ids) + under_way)
            ours = [one for one in rows if one.envelope.id in ids and one.row not in self._in_hand]
        if len(ours) < len(ids):
            work.wake(f"inbox:{CONSUMER}")
        return ours, self._intend(ours, work) if ours else set()

    def taken(self, outcome: tuple[Sequence[Received], set[str]]) -> None:
        """What was intended is on disk."""
        self._begin(*outcome)

    def _begin(self, rows: Sequence[Received], known: set[str]) -> None:
        self._in_hand |= {row.row for row in rows}
        for row in rows:
            self._own(self._make(row, known=row.envelope.order_key in known))

    async def _look(self) -> None:
        now, most = self._clock.now(), READ_AT_ONCE + len(self._in_hand)
        self._ended_since.clear()
        rows = await self._store.behind.read_loose(lambda work: work.inbox.due(CONSUMER, now, most))
        self._more = len(rows) == most
        taken = self._in_hand | self._ended_since
        self._next.extend(row for row in rows if row.row not in taken)

    def _intend(self, rows: Sequence[Received], work: SqlWork) -> set[str]:
        """What was being sent before we came may be there: its sender is gone."""
        names = [row.envelope.order_key for row in rows]
        return self._rows.intend(work, names, to_micros(self._clock.now()))

    async def _make(self, row: Received, *, known: bool) -> None:
        reference = row.envelope.order_key
        if not known or not await self._mes.has(reference):
            await self._mes.make(reference)
        self._made.append(row)
        if not self._settling:
            self._settling = True
            self._own(self._settle_all())

    async def _settle_all(self) -> None:
        try:
            while self._made:
                rows, self._made = self._made, []
                at = to_micros(self._clock.now())
                await self._store.behind.write_loose(partial(self._rows.settle, rows=rows, at=at))
                ended = {row.row for row in rows}
                self._in_hand -= ended
                self._ended_since |= ended
                if (
                    self._more or self._next
                ):  # An order has one envelope here: none waits for another.
                    self._bells.ring(f"inbox:{CONSUMER}")
        finally:
            self._settling = False

    def _own(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _put_down(put_down: Callable[[SqlWork], int], work: SqlWork) -> int:
    work.wake(f"inbox:{CONSUMER}")
    return put_down(work)


async def run(half: str, setup: Setup) -> None:
    """One half of it: on SQLite there is but one, elsewhere one accepts, carries or sends."""
    bells, clock = Bells(), SystemClock()
    alone = setup.orders.startswith("sqlite:")
    steps: list[tuple[str, Callable[[], Awaitable[int]]]] = []
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(setup.orders, bells, serve=True))
        transport = _transport(store, setup, bells, clock)
        keepers: dict[str, Keeper] = {}
        if alone or half == "consumer":
            mes = await mes_at(setup.mes, setup.work_ms, setup.at_once)
            sender = keepers[CONSUMER] = Sender(store, mes, bells, clock, most=8 * setup.at_once)
            steps.append((f"inbox:{CONSUMER}", sender.step))
        if alone or half == "relay":
            relay = Relay(store.behind, transport, clock)
            steps += [("relay", relay.step)] * relay.at_once
        transport.hand_over(keepers, alone=half == "consumer")
        if isinstance(transport, RabbitTransport) and half != "api":
            await stack.enter_async_context(transport)
        stack.callback(_working(store, bells, steps))
        collect_rarely()  # As every process of ours does that has begun.
        await (serve(setup.port, accepting(store)) if half == "api" else until_stopped())


def _transport(
    store: AnyStore, setup: Setup, bells: Bells, clock: Clock
) -> EmbeddedTransport | RabbitTransport:
    if not setup.amqp:
        return EmbeddedTransport(store.behind, ROUTES, clock)
    ways = (setup.amqp, store.behind, ROUTES, clock, Random())
    return RabbitTransport(*ways, back=lambda: bells.ring("relay"))


def _working(
    store: AnyStore, bells: Bells, steps: Sequence[tuple[str, Callable[[], Awaitable[int]]]]
) -> Callable[[], None]:
    stopped = asyncio.Event()

    def aside_s() -> float:
        return STEP_ASIDE_S if store.in_a_rush else 0.0

    tasks = [
        asyncio.create_task(loop(topic, step, bells, topic, stopped, aside_s=aside_s))
        for topic, step in steps
    ]

    def stop() -> None:
        stopped.set()
        for task in tasks:
            task.cancel()

    return stop


def accepting(store: AnyStore) -> Callable[[str], Awaitable[str]]:
    """The store's accept lane; the client's number is made by us, as all are alike."""
    lane = store.accepting(Policy())
    fresh = Submissions()

    async def accept(_: str) -> str:
        return (await lane.accept(fresh.next())).order_no

    return accept


if __name__ == "__main__":
    set_up_logs("error", "bench")
    uvloop.install()
    asyncio.run(run(*told()))
